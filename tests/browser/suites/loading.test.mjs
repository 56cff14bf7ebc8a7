// The WebAssembly part in a page: types, policies, one instance for all sockets.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { playground } from "../harness/program.mjs";
import { PAGE_ENTRIES, realm } from "../harness/realm.mjs";
import { shared } from "../harness/shared.mjs";
import { watchWasm } from "../harness/wasm.mjs";

const FILE = "loading.mjs";
const WASM = "/package/dist/tokensocket_bg.wasm";
const limit = { timeout: 30_000 };

/** As strict as it can be: everything is forbidden but what is named. */
const policy = (server, ...scripts) =>
  `default-src 'none'; script-src 'self' ${scripts.join(" ")}; connect-src 'self' ${server} ${server.replace("http", "ws")}`;
const withPolicy = (value) => ({ headers: { "content-security-policy": value } });

describe("the type of the .wasm", () => {
  const server = shared(playground);

  for (const type of ["application/wasm", "application/octet-stream", "text/html", ""]) {
    test(`loads it as ${type || "nothing"}`, limit, async (t) => {
      const differently = { type: (path) => (path === WASM ? type : undefined) };
      const place = await realm(t, "esm", differently);
      await place.run(FILE, "callsEcho", { host: server().origin });
    });
  }

  test("says why it cannot be loaded when it is not there", limit, async (t) => {
    const place = await realm(t, "esm", { answer: (path) => (path === WASM ? { status: 404, body: "" } : undefined) });
    const { code, message } = await place.run(FILE, "saysWhyNot", { host: server().origin });
    assert.equal(code, "wasm");
    assert.match(message, /404/);
  });

  test("says why it cannot be loaded when it is something else", limit, async (t) => {
    const page = { body: "<!doctype html>our application" };
    const place = await realm(t, "esm", { answer: (path) => (path === WASM ? page : undefined) });
    const { code, message } = await place.run(FILE, "saysWhyNot", { host: server().origin });
    assert.equal(code, "wasm");
    assert.match(message, /tokensocket_bg\.wasm/);
  });

  test("tries again with the next socket", limit, async (t) => {
    let missing = true;
    const answer = (path) => (missing && path === WASM ? { status: 503, body: "" } : undefined);
    const place = await realm(t, "esm", { answer });
    await place.run(FILE, "triesAgainWithTheNextSocket", { host: server().origin }, {
      "the file is there": () => {
        missing = false;
      },
    });
  });

  test("a socket can end while it loads", limit, async (t) => {
    const place = await realm(t, "esm");
    let release;
    const held = new Promise((resolve) => (release = resolve));
    await place.page.route(`**${WASM}`, async (route) => {
      await held;
      await route.continue();
    });
    await place.run(FILE, "canEndWhileLoading", { host: server().origin }, { "the file is there": () => release() });
  });

  for (const form of ["address", "URL", "response", "bytes", "view", "module"]) {
    test(`can be given as ${form}`, limit, async (t) => {
      const moved = "/elsewhere/some.wasm";
      const place = await realm(t, "esm");
      const asked = [];
      place.page.on("request", (request) => asked.push(new URL(request.url()).pathname));
      await place.page.route(`**${moved}`, async (route) => {
        await route.fulfill({ response: await route.fetch({ url: new URL(WASM, place.page.url()).href }) });
      });
      const url = new URL(moved, place.page.url()).href;
      await place.run(FILE, "takesTheWasmInEveryForm", { host: server().origin, form, url });
      assert.ok(!asked.includes(WASM), "the default one was loaded as well");
    });
  }
});

for (const entry of PAGE_ENTRIES) {
  describe(`content security policy (${entry})`, () => {
    const server = shared(playground);

    test("wasm-unsafe-eval is enough", limit, async (t) => {
      const differently = withPolicy(policy(server().origin, "'wasm-unsafe-eval'"));
      const place = await realm(t, entry, differently);
      const violations = [];
      place.page.on("console", (message) => message.type() === "error" && violations.push(message.text()));
      await place.run(FILE, "callsEcho", { host: server().origin });
      assert.deepEqual(violations, []);
    });

    test("without it the error says what is missing", limit, async (t) => {
      const place = await realm(t, entry, withPolicy(policy(server().origin)));
      const { code, message } = await place.run(FILE, "saysWhyNot", { host: server().origin });
      assert.equal(code, "wasm");
      assert.match(message, /'wasm-unsafe-eval'/);
    });
  });
}

for (const entry of PAGE_ENTRIES) {
  test(`many sockets share one instance (${entry})`, limit, async (t) => {
    const server = await playground(t);
    const place = await realm(t, entry, { prepare: watchWasm });
    const loads = [];
    place.page.on("request", (request) => request.url().endsWith(WASM) && loads.push(request));
    await place.run(FILE, "manySocketsAtOnce", { host: server.origin });
    const counted = await place.page.evaluate(() => [watched.compiled, watched.instantiated]);
    assert.deepEqual(counted, [1, 1]);
    assert.equal(loads.length, entry === "esm" ? 1 : 0);
  });
}
