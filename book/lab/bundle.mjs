// Bundles each src/NAME/main.ts into TARGET/NAME.js, one classic script: node bundle.mjs SRC TARGET
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

// Packages lie where tools/node.py installed them (NODE_PATH), not beside this file.
const esbuild = createRequire(join(process.env.NODE_PATH, "_"))("esbuild");
const [src, target] = process.argv.slice(2);

/** jax-js's back ends for graphics cards, which it would load on demand and nothing here asks for: 100 kB less. */
const withoutGraphics = {
  name: "without graphics",
  setup(build) {
    build.onResolve({ filter: /^\.\/web(gpu|gl)-/ }, ({ path, importer }) =>
      importer.includes("jax-js") ? { path, namespace: "absent" } : null,
    );
    build.onLoad({ filter: /.*/, namespace: "absent" }, () => ({ contents: "export {};" }));
  },
};

const common = {
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  nodePaths: [process.env.NODE_PATH],
  logLevel: "error",
  plugins: [withoutGraphics],
};

/** `import source from "worker:./worker.ts"`: the bundled worker as text. */
const worker = {
  name: "worker",
  setup(build) {
    build.onResolve({ filter: /^worker:/ }, (found) => ({
      path: resolve(dirname(found.importer), found.path.slice("worker:".length)),
      namespace: "worker",
    }));
    build.onLoad({ filter: /.*/, namespace: "worker" }, async ({ path }) => {
      const made = await esbuild.build({
        ...common,
        entryPoints: [path],
        write: false,
      });
      return { contents: made.outputFiles[0].text, loader: "text" };
    });
  },
};

/** `import still from "poster:penalised"`: a preset of the laboratory, trained here and now. */
const poster = {
  name: "poster",
  setup(build) {
    build.onResolve({ filter: /^poster:/ }, ({ path }) => ({ path, namespace: "poster" }));
    build.onLoad({ filter: /.*/, namespace: "poster" }, async ({ path }) => {
      const made = await esbuild.build({
        ...common,
        format: "esm",
        platform: "node",
        stdin: {
          contents: `
            export { posterOf } from "./engine/poster.ts";
            export { boxOf } from "./lab/plane.ts";
            export { PRESETS } from "./engine/presets.ts";`,
          resolveDir: resolve(src),
        },
        write: false,
      });
      const code = Buffer.from(made.outputFiles[0].contents).toString("base64");
      const { posterOf, boxOf, PRESETS } = await import(`data:text/javascript;base64,${code}`);
      const name = path.slice("poster:".length);
      const found = await posterOf(name, boxOf(PRESETS[name].setting));
      return { contents: JSON.stringify(found), loader: "json" };
    });
  },
};

const entryPoints = Object.fromEntries(
  readdirSync(src)
    .map((name) => [name, join(src, name, "main.ts")])
    .filter(([, path]) => existsSync(path)),
);
await esbuild.build({
  ...common,
  entryPoints,
  outdir: target,
  plugins: [worker, poster, withoutGraphics],
});
