// Builds the npm package: `npm run build`.
//
// In: the sources here, and what wasm-bindgen wrote for the target `web` in TOKENSOCKET_WASM_DIR (default:
// target/wasm-bundle of the workspace): tokensocket.js, tokensocket_bg.wasm, maybe snippets. Out: the folder
// TOKENSOCKET_DIST_DIR (default: js-dist/dist), which is emptied before. The same input gives the same bytes.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { shortenNames } from "./names.mjs";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const root = join(here, "../..");
const wasmDir = resolve(process.env.TOKENSOCKET_WASM_DIR ?? join(root, "target/wasm-bundle"));
const dist = resolve(process.env.TOKENSOCKET_DIST_DIR ?? join(root, "js-dist/dist"));
const { version, license } = JSON.parse(readFileSync(join(root, "js-dist/package.json"), "utf8"));
const fallback = join(here, "../src/fallback/index.js");
const wasmFile = join(wasmDir, "tokensocket_bg.wasm");

if (!existsSync(wasmFile)) {
  console.error(`${wasmFile} is missing: run \`cargo xtask bundle\`, or say in TOKENSOCKET_WASM_DIR where it is`);
  process.exit(1);
}

const { wasm: wasmBytes, script: glue } = shortenNames(
  wasmFile,
  join(wasmDir, "tokensocket.js"),
  join(here, "node_modules/binaryen/bin/wasm-opt"),
);

// Denser than zlib, and the same bytes on every machine. Only here, since it changes how the process fails.
const { default: zopfli } = await import("@gfx/zopfli");
const packed = Buffer.from(await zopfli.zlibAsync(wasmBytes, { numiterations: 15 })).toString("base64");

/** Puts wasm-bindgen's output and the packed WebAssembly file in the place of the names in the sources. */
const wasm = {
  name: "wasm",
  setup(build) {
    build.onResolve({ filter: /^tokensocket-fallback$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: "./fallback.mjs", external: true } : { path: fallback },
    );
    build.onResolve({ filter: /^tokensocket-wasm$/ }, () => ({ path: "glue", namespace: "glue" }));
    build.onLoad({ filter: /.*/, namespace: "glue" }, () => ({
      contents: `${glue}\nexport { __wbg_get_imports, __wbg_finalize_init };\n`,
      resolveDir: wasmDir,
    }));
    build.onResolve({ filter: /^tokensocket-wasm\/inline$/ }, () => ({ path: "packed", namespace: "packed" }));
    build.onLoad({ filter: /.*/, namespace: "packed" }, () => ({ contents: packed, loader: "text" }));
  },
};

/** One entry of the package as one file. */
function bundle(entry, outfile, format, platform) {
  return build({
    entryPoints: [resolve(here, "src/entry", entry)],
    outfile: join(dist, outfile),
    bundle: true,
    format,
    platform,
    external: ["ws"],
    target: "es2022",
    minify: true,
    charset: "utf8",
    legalComments: "none",
    banner: { js: `/*! tokensocket ${version} | ${license} */` },
    define: { VERSION: JSON.stringify(version) },
    plugins: [wasm],
    logLevel: "warning",
  });
}

/** The declarations that can be reached from the package's face; the others are nobody's affair. */
function declarations() {
  const types = join(dist, "types");
  execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", join(here, "tsconfig.types.json"), "--outDir", types], {
    stdio: "inherit",
  });
  const reached = new Set();
  const visit = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const [, path] of readFileSync(file, "utf8").matchAll(/(?:from|import\()\s*"(\.[^"]+)\.js"/g)) {
      visit(join(dirname(file), `${path}.d.ts`));
    }
  };
  visit(join(types, "index.d.ts"));
  for (const file of readdirSync(types, { recursive: true, withFileTypes: true })) {
    const path = join(file.parentPath ?? file.path, file.name);
    if (file.isFile() && !reached.has(path)) rmSync(path);
  }
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
writeFileSync(join(dist, "tokensocket_bg.wasm"), wasmBytes);
await Promise.all([
  bundle("module.ts", "tokensocket.mjs", "esm", "browser"),
  bundle("inline.ts", "inline.mjs", "esm", "browser"),
  bundle("script.ts", "tokensocket.min.js", "iife", "browser"),
  bundle("node.ts", "node.mjs", "esm", "node"),
  bundle(fallback, "fallback.mjs", "esm", "browser"),
]);
declarations();

const names = ["tokensocket.mjs", "tokensocket_bg.wasm", "fallback.mjs", "inline.mjs", "tokensocket.min.js", "node.mjs"];
const size = Object.fromEntries(
  names.map((name) => {
    const bytes = readFileSync(join(dist, name));
    return [name, { bytes: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length }];
  }),
);
for (const [name, { bytes, gzip }] of Object.entries(size)) console.log(`${name.padEnd(20)} ${bytes} bytes, ${gzip} gzip -9`);
writeSizes(join(dist, "../README.md"));

/** The table of sizes in the package's README, where there is one. */
function writeSizes(readme) {
  if (!existsSync(readme)) return;
  const module = size["tokensocket.mjs"].gzip;
  const wasm = size["tokensocket_bg.wasm"].gzip;
  const rows = [
    ["`tokensocket`: script and `.wasm`", `${figure(module + wasm)} (${figure(module)} and ${figure(wasm)})`],
    ["the same, where there is no WebSocket to be had: `fallback.mjs` in addition", figure(size["fallback.mjs"].gzip)],
    ["`tokensocket/inline`", figure(size["inline.mjs"].gzip)],
    ["`tokensocket.min.js`", figure(size["tokensocket.min.js"].gzip)],
  ];
  const table = ["| entry | KB |", "| --- | --- |", ...rows.map((row) => `| ${row.join(" | ")} |`)].join("\n");
  const text = readFileSync(readme, "utf8");
  writeFileSync(readme, text.replace(/(<!-- sizes[^>]*-->\n)[^]*?(<!-- \/sizes -->)/, `$1${table}\n$2`));
}

function figure(bytes) {
  return (bytes / 1000).toFixed(1);
}
