/** What bundle.mjs makes of imports that are no modules. A style sheet becomes NAME.css beside NAME.js. */
declare module "*.css";

/** A still of the preset of that name, made when the scripts are bundled. */
declare module "poster:*" {
  const poster: import("../engine/poster.ts").Poster;
  export default poster;
}
