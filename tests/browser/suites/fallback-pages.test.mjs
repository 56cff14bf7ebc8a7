// Pages where there is no WebSocket to be had: the server's origin and others, the file
// that is loaded, pages written in Rust, and servers by which nothing works.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { freshContext } from "../harness/chromium.mjs";
import { gate } from "../harness/gate.mjs";
import { gateway, playground } from "../harness/program.mjs";
import { ENTRIES, packageSite, realm, transportsIn, visitor } from "../harness/realm.mjs";
import { shared } from "../harness/shared.mjs";
import { site } from "../harness/site.mjs";

const FILE = "fallback.mjs";
const limit = { timeout: 60_000 };
const FALLBACK = "/package/dist/fallback.mjs";

describe("a server without sockets", () => {
  for (const entry of ENTRIES) {
    test(`does not wear the transports out: the WebSocket is tried again (${entry})`, limit, async (t) => {
      const server = await playground(t);
      const sockets = (url) => (url.startsWith("/sockets") ? 503 : undefined);
      const wire = await gate(t, server, { webSockets: "refused", refuses: sockets });
      const place = await realm(t, entry);
      const outcome = await place.run(FILE, "failsUntil", { options: { host: wire.origin } }, {
        "the way is free": () => {
          wire.webSockets = "passed";
        },
      });
      assert.equal(outcome.transport, "websocket");
      assert.match(outcome.message, /503/);
      const [first, second] = ["/xhr_streaming", "/xhr"].map((ending) => wire.requests.findIndex((url) => url.endsWith(ending)));
      assert.ok(first >= 0 && first < second, "each was tried in its turn");
      assert.ok(wire.asked("/websocket").length >= 2, "and then again from the top");
    });
  }
});

describe("origins", () => {
  test("of the server's own origin", limit, async (t) => {
    const server = await gateway(t);
    const wire = await gate(t, server, { webSockets: "refused" });
    const served = await packageSite(t);
    const page = await (await freshContext(t)).newPage();
    await page.goto(`${wire.origin}/healthcheck`);
    const answer = await page.evaluate(async (url) => {
      const { TokenSocket } = await import(url);
      const socket = new TokenSocket({ authentication: { user: "ann" } });
      const { user } = await socket.rpc("whoami");
      const { transport } = socket;
      await socket.end();
      return { user, transport };
    }, `${served.origin}/package/dist/tokensocket.mjs`);
    assert.deepEqual(answer, { user: "ann", transport: "xhr-streaming" });
  });

  test("cookies go along where the options say so", limit, async (t) => {
    const { context, served, open } = await visitor(t);
    const server = await gateway(t, "--allow-origin", served.origin);
    const wire = await gate(t, server);
    await context.addCookies([{ name: "route", value: "a", url: wire.origin, sameSite: "Lax" }]);
    const place = await open();
    const cookies = [];
    // Of one that is given up the browser may not have told all headers.
    place.page.on("requestfinished", async (request) => {
      if (request.method() !== "OPTIONS" && request.url().includes("/sockets/")) {
        cookies.push((await request.allHeaders()).cookie);
      }
    });
    for (const transport of transportsIn("esm")) {
      const options = { host: wire.origin, transports: [transport], credentials: "include" };
      assert.equal(await place.run(FILE, "echoes", { options }), transport);
    }
    assert.ok(cookies.length > 0 && cookies.every((cookie) => cookie === "route=a"), JSON.stringify(cookies));
  });

  test("no request needs to be asked for before (CORS)", limit, async (t) => {
    const server = await playground(t);
    const wire = await gate(t, server, { webSockets: "refused" });
    const { open } = await visitor(t);
    await (await open()).run(FILE, "everythingWorks", { options: { host: wire.origin }, channel: "preflight" });
    assert.deepEqual(wire.requests.filter((request) => request.startsWith("OPTIONS")), []);
  });
});

describe("the file of the other transports", () => {
  const server = shared(playground);

  test("is not loaded where a WebSocket works", limit, async (t) => {
    const { served, open } = await visitor(t);
    const place = await open();
    const input = { options: { host: server().origin }, channel: "unneeded" };
    assert.equal(await place.run(FILE, "everythingWorks", input), "websocket");
    assert.ok(!served.requested.includes(FALLBACK));
  });

  test("is loaded once for all sockets of a page", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { served, open } = await visitor(t);
    const place = await open();
    const input = { options: { host: wire.origin }, channel: "once" };
    await Promise.all([1, 2].map(() => place.run(FILE, "everythingWorks", input)));
    assert.equal(served.requested.filter((path) => path === FALLBACK).length, 1);
  });

  test("where it cannot be loaded, the attempt fails and says why, and the WebSocket is tried again", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { open } = await visitor(t, { answer: (path) => (path === FALLBACK ? { status: 404, body: "" } : undefined) });
    const place = await open();
    const outcome = await place.run(FILE, "failsUntil", { options: { host: wire.origin } }, {
      "the way is free": () => {
        wire.webSockets = "passed";
      },
    });
    assert.equal(outcome.transport, "websocket");
    assert.match(outcome.message, /fallback\.mjs/);
  });

  test("where it cannot be loaded any more, what was kept of it is forgotten", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    let isThere = true;
    const { open } = await visitor(t, { answer: (path) => (path === FALLBACK && !isThere ? { status: 404, body: "" } : undefined) });
    const input = { options: { host: wire.origin }, channel: "gone" };
    assert.equal(await (await open()).run(FILE, "everythingWorks", input), "xhr-streaming");
    isThere = false;
    wire.webSockets = "passed";
    const place = await open();
    await place.run(FILE, "failsOnce", input);
    assert.equal(await place.run(FILE, "everythingWorks", input), "websocket");
  });
});

const RUST_PAGE = path.resolve(import.meta.dirname, "../../../examples/browser/rust");
const isBuilt = existsSync(path.join(RUST_PAGE, "pkg/page.js"));

// `cargo xtask test browser` builds it; there is nothing to see before.
describe("a page written in Rust", { skip: isBuilt ? false : "examples/browser/rust/pkg is not built" }, () => {
  for (const [webSockets, isHolding, path] of [
    ["refused", false, "/xhr_streaming"],
    ["silenced", true, "/xhr"],
  ]) {
    test(`works where a WebSocket is ${webSockets}, by ${path}`, limit, async (t) => {
      const server = await playground(t);
      const wire = await gate(t, server, { webSockets, isHolding });
      const served = await site(t, { "/": RUST_PAGE });
      const page = await (await freshContext(t)).newPage();
      const errors = [];
      page.on("pageerror", (error) => errors.push(error.stack));
      const says = (text) => page.getByRole("listitem").filter({ hasText: text }).first().waitFor();
      await page.goto(`${served.origin}/index.html?server=${wire.origin}`);
      for (const line of ["ready", 'echo answers {"sum":3}', "the server greets as Ada", "news: something happened"]) {
        await says(line);
      }
      assert.ok(wire.asked(path).length > 0);
      assert.ok(wire.asked("/xhr_send").length > 0);
      const before = wire.asked("/websocket").length;
      await server.restart();
      await says("disconnected: ");
      await says("reconnected: true");
      assert.equal(wire.asked("/websocket").length, before, "what worked is tried first");
      assert.deepEqual(errors, []);
    });
  }
});
