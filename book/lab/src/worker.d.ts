/** A worker's bundled script, as text: see bundle.mjs. */
declare module "worker:*" {
  const source: string;
  export default source;
}
