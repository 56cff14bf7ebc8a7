// Builds the console into dist, from where the gateway takes it at compile time.
//
// In: src, and the client's bundle as it lies in js-dist/dist. Out: every file twice, plain and as gzip.
// With --check nothing is written; it fails when dist is not what would be built.

import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { gunzipSync, gzipSync } from "node:zlib";

const here = new URL("./", import.meta.url);
const dist = new URL("dist/", here);
const bundle = new URL("../../js-dist/dist/", here);

/** What is bundled into console.js wants to be named with it. */
async function licences(...names) {
  const texts = names.map(async (name) => {
    const folder = new URL(`node_modules/${name}/`, here);
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name}\n\n${(await readFile(new URL(file, folder), "utf8")).trim()}`;
  });
  return `/*!\n${(await Promise.all(texts)).join("\n\n")}\n*/`;
}

const files = new Map();
const { outputFiles } = await build({
  absWorkingDir: here.pathname,
  entryPoints: { console: "src/main.ts", style: "src/style/index.css" },
  outdir: "dist",
  bundle: true,
  write: false,
  minify: true,
  format: "esm",
  target: ["chrome111", "firefox114", "safari16.4"],
  legalComments: "none",
  footer: { js: await licences("jsonc-parser", "uplot") },
  // The client stays a file of its own, byte for byte as it was published.
  alias: { tokensocket: "./tokensocket.mjs" },
  external: ["./tokensocket.mjs"],
});
for (const { path, contents } of outputFiles) {
  const name = path.slice(path.lastIndexOf("/") + 1);
  files.set(name === "style.css" ? "console.css" : name, Buffer.from(contents));
}
for (const name of ["index.html", "icon.svg"]) {
  files.set(name, await readFile(new URL(`src/${name}`, here)));
}
for (const name of ["tokensocket.mjs", "tokensocket_bg.wasm", "fallback.mjs"]) {
  files.set(name, await readFile(new URL(name, bundle)));
}

if (process.argv.includes("--check")) {
  const stale = [];
  for (const [name, content] of files) {
    const plain = await readFile(new URL(name, dist)).catch(() => null);
    const gzip = await readFile(new URL(`${name}.gz`, dist)).catch(() => null);
    if (!plain?.equals(content) || !gzip || !gunzipSync(gzip).equals(content)) stale.push(name);
  }
  const known = new Set([...files.keys()].flatMap((name) => [name, `${name}.gz`]));
  stale.push(...(await readdir(dist)).filter((name) => !known.has(name)));
  if (stale.length > 0) {
    console.error(`gateway/console/dist is out of date: ${stale.join(", ")}. Run \`npm run build\` in gateway/console.`);
    process.exit(1);
  }
} else {
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist);
  for (const [name, content] of files) {
    const gzip = gzipSync(content, { level: 9 });
    await writeFile(new URL(name, dist), content);
    await writeFile(new URL(`${name}.gz`, dist), gzip);
    console.log(`${name}: ${content.length} bytes, ${gzip.length} as gzip`);
  }
}
