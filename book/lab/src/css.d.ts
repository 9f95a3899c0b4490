/** Styles that a script's page loads beside it: main.ts imports them, and they become NAME.css. */
declare module "*.css";
