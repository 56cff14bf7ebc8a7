// A page that imports the installed package, built by each bundler, calls `echo`; also
// where there is no WebSocket to be had, for which it has to find another file.

import assert from "node:assert/strict";
import { copyFile, mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";
import { servedByVite, withEsbuild, withVite, withWebpack } from "../consumers/builds.mjs";
import { freshContext } from "../harness/chromium.mjs";
import { gate } from "../harness/gate.mjs";
import { installedPackage } from "../harness/package.mjs";
import { playground } from "../harness/program.mjs";
import { shared } from "../harness/shared.mjs";
import { site } from "../harness/site.mjs";

const sources = path.resolve(import.meta.dirname, "../consumers");
const limit = { timeout: 60_000 };

describe("consumers", () => {
  const server = shared(playground);

  test("Vite builds it", limit, async (t) => {
    const built = await withVite(await project(t, "vite"));
    await callsEcho(t, (await site(t, { "/": built })).origin, server());
  });

  test("Vite's development server serves it", limit, async (t) => {
    const vite = await servedByVite(await project(t, "vite-dev"));
    t.after(() => vite.close());
    const { port } = vite.httpServer.address();
    await callsEcho(t, `http://127.0.0.1:${port}`, server());
  });

  test("webpack 5 builds it", limit, async (t) => {
    const built = await withWebpack(await project(t, "webpack"));
    await callsEcho(t, (await site(t, { "/": built })).origin, server());
  });

  test("esbuild builds it, with the .wasm copied beside", limit, async (t) => {
    const { dist } = await installedPackage();
    const wasm = path.join(dist, "tokensocket_bg.wasm");
    const built = await withEsbuild(await project(t, "esbuild"), { wasm });
    await callsEcho(t, (await site(t, { "/": built })).origin, server());
  });

  test("esbuild builds /inline, with nothing beside", limit, async (t) => {
    const built = await withEsbuild(await project(t, "esbuild-inline"), { entry: "main-inline.js" });
    await callsEcho(t, (await site(t, { "/": built })).origin, server());
  });
});

/** A user's project, below the folder that the package is installed in. */
async function project(t, name) {
  const { folder } = await installedPackage();
  const root = path.join(folder, name);
  await mkdir(root);
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const file of ["index.html", "main.js", "main-inline.js"]) {
    await copyFile(path.join(sources, file), path.join(root, file));
  }
  return root;
}

/** The page calls `echo`, by a WebSocket and where there is none. */
async function callsEcho(t, origin, server) {
  await echoed(t, origin, server);
  await echoed(t, origin, await gate(t, server, { webSockets: "refused" }));
}

/** Opens the page and waits for the answer in its title. */
async function echoed(t, origin, server) {
  const context = await freshContext(t);
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(`${origin}/index.html?host=${encodeURIComponent(server.origin)}`);
  await page.waitForFunction(() => document.title !== "waiting" || document.body.textContent.trim() !== "");
  assert.deepEqual(errors, []);
  assert.equal(await page.title(), '{"built":true}', await page.textContent("body"));
}
