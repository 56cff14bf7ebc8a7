// The bundlers, each with as little configuration as a user can have.
// In: a project's folder with main.js and index.html in it, and the package
// installed above it. Out: a folder to serve, whose index.html loads the bundle.

import { copyFile, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import * as esbuild from "esbuild";
import * as vite from "vite";
import webpack from "webpack";

const page = (script) =>
  `<!doctype html><title>waiting</title><link rel="icon" href="data:," /><body>${script}</body>`;

/** Vite's build. */
export async function withVite(root) {
  await vite.build({ root, configFile: false, logLevel: "error" });
  return path.join(root, "dist");
}

/** Vite's development server, which bundles dependencies on its own. Returns the server. */
export async function servedByVite(root) {
  const server = await vite.createServer({
    root,
    configFile: false,
    logLevel: "error",
    server: { port: 0, host: "127.0.0.1" },
  });
  return server.listen();
}

/** webpack, for production. */
export async function withWebpack(root) {
  const out = path.join(root, "dist");
  const compiler = webpack({
    mode: "production",
    context: root,
    entry: path.join(root, "main.js"),
    output: { path: out, filename: "main.js" },
  });
  await new Promise((resolve, reject) => {
    compiler.run((error, stats) => {
      const failure = error ?? (stats.hasErrors() || stats.hasWarnings() ? new Error(stats.toString("errors-warnings")) : null);
      compiler.close((late) => (failure ?? late ? reject(failure ?? late) : resolve()));
    });
  });
  await writeFile(path.join(out, "index.html"), page('<script src="main.js"></script>'));
  return out;
}

/** esbuild, which leaves `new URL(…, import.meta.url)` as it is: the .wasm is copied beside the bundle. */
export async function withEsbuild(root, { entry = "main.js", wasm } = {}) {
  const out = path.join(root, "dist");
  await mkdir(out, { recursive: true });
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "esm",
    outfile: path.join(out, "main.js"),
    logLevel: "error",
  });
  if (wasm) {
    await copyFile(wasm, path.join(out, path.basename(wasm)));
  }
  await writeFile(path.join(out, "index.html"), page('<script type="module" src="main.js"></script>'));
  return out;
}
