// Answers questions to the laboratory's engine: node lab_engine.mjs HARNESS.ts FOLDER
// Each line of the input is a question [name, argument], each line of the output its answer, {value} or {error}.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const esbuild = createRequire(join(process.env.NODE_PATH, "_"))("esbuild");
const [harness, folder] = process.argv.slice(2);
const bundle = join(folder, "harness.mjs");
await esbuild.build({
  entryPoints: [harness],
  outfile: bundle,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "es2022",
  nodePaths: [process.env.NODE_PATH],
  logLevel: "error",
});
// As in a page that has shared memory, with which jax-js would start workers.
globalThis.Worker = class {
  constructor() {
    throw new Error("The engine is to stay on one thread.");
  }
};
const { asked } = await import(pathToFileURL(bundle));
for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = JSON.parse(line);
  let answer;
  try {
    answer = { value: await asked[name](argument) };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
