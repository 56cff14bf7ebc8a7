// What a page must download, gzip -9, of our package and of its peers.
// In: the installed package's dist folder. Out: bytes by name.
//
// Peers come as npm ships them for a page where that is the smallest they have
// (sockjs-client, the original client), else bundled and minified by esbuild, as
// an application's build does.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const packages = path.resolve(import.meta.dirname, "../node_modules");

/** The files of each entry of ours. */
const OURS = {
  "tokensocket, ESM": ["tokensocket.mjs", "tokensocket_bg.wasm"],
  "tokensocket, without a WebSocket": ["fallback.mjs"],
  "tokensocket/inline": ["inline.mjs"],
  "tokensocket.min.js": ["tokensocket.min.js"],
};

/** @returns {Promise<Record<string, number>>} our entries, and the parts of the first */
export async function ourSizes(dist) {
  const sizes = {};
  for (const [name, files] of Object.entries(OURS)) {
    sizes[name] = await total(files.map((file) => path.join(dist, file)));
  }
  return sizes;
}

/** @returns {Promise<Record<string, number>>} */
export async function peerSizes() {
  const sockjs = path.join(packages, "sockjs-client/dist/sockjs.min.js");
  const original = path.join(packages, "token-sockjs-client/clients/browser/tokensockjs.min.js");
  return {
    "socket.io-client": await bundled('import { io } from "socket.io-client"; globalThis.io = io;'),
    centrifuge: await bundled('import { Centrifuge } from "centrifuge"; globalThis.Centrifuge = Centrifuge;'),
    "sockjs-client with token-sockjs-client": await total([sockjs, original]),
  };
}

async function total(files) {
  const sizes = await Promise.all(files.map(async (file) => gzipped(await readFile(file))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function bundled(contents) {
  const stdin = { contents, resolveDir: import.meta.dirname };
  const { outputFiles } = await esbuild.build({ stdin, bundle: true, minify: true, format: "esm", write: false });
  return gzipped(outputFiles[0].contents);
}

function gzipped(bytes) {
  return gzipSync(bytes, { level: 9 }).length;
}
