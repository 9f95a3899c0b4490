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

const entryPoints = Object.fromEntries(
  readdirSync(src)
    .map((name) => [name, join(src, name, "main.ts")])
    .filter(([, path]) => existsSync(path)),
);
await esbuild.build({
  ...common,
  entryPoints,
  outdir: target,
  plugins: [worker, withoutGraphics],
});
