// What Python asks of npm's packages while it builds pages: each line of JSON on stdin is answered by one on stdout.
//   {"tex": "x^2", "display": false}  ->  {"html": "<span class=…"} or {"error": "…"}, by KaTeX
//   {"icon": "bars"}                  ->  {"icon": [width, height, path]} or {"error": "…"}, by Font Awesome
// The first argument holds KaTeX's macros, as JSON.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

// Packages lie where tools/node.py installed them (NODE_PATH), not beside this file.
const require = createRequire(join(process.env.NODE_PATH, "_"));
const katex = require("katex");
const macros = JSON.parse(process.argv[2] ?? "{}");

function formula(tex, displayMode) {
  const settings = {
    displayMode,
    macros: { ...macros },
    output: "htmlAndMathml",
    strict: "error",
    throwOnError: true,
  };
  return { html: katex.renderToString(tex, settings) };
}

function icon(name) {
  const camel = name.replace(/(^|-)(\w)/g, (_, __, letter) => letter.toUpperCase());
  const found = require(`@fortawesome/free-solid-svg-icons/fa${camel}`);
  return { icon: [found.width, found.height, found.svgPathData] };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { tex, display, icon: name } = JSON.parse(line);
  let answer;
  try {
    answer = name === undefined ? formula(tex, display) : icon(name);
  } catch (error) {
    answer = { error: error.message.split("\n")[0] };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
