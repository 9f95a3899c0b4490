/** A style sheet: bundled into NAME.css beside NAME.js. */
declare module "*.css";
