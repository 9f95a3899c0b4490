// Answers questions to the laboratory's engine: node lab_engine.mjs HARNESS.ts QUESTIONS.json ANSWERS.json
// A question is [name, argument]; an answer is {value} or {error}.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const esbuild = createRequire(join(process.env.NODE_PATH, "_"))("esbuild");
const [harness, questions, answers] = process.argv.slice(2);
const bundle = join(dirname(answers), "harness.mjs");
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
const { asked } = await import(pathToFileURL(bundle));
const found = [];
for (const [name, argument] of JSON.parse(readFileSync(questions, "utf8"))) {
  try {
    found.push({ value: await asked[name](argument) });
  } catch (error) {
    found.push({ error: `${error.name}: ${error.message}` });
  }
}
writeFileSync(answers, JSON.stringify(found));
