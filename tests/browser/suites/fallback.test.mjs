// Where there is no WebSocket to be had: what is tried instead, and what is kept
// of it. The servers' origin is never the page's, but where a test says so.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { freshContext } from "../harness/chromium.mjs";
import { gate } from "../harness/gate.mjs";
import { gateway, playground } from "../harness/program.mjs";
import { network } from "../harness/proxy.mjs";
import { ENTRIES, packageSite, PageRealm, realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";
import { site } from "../harness/site.mjs";

const FILE = "fallback.mjs";
const limit = { timeout: 60_000 };
/** The largest message a server takes by default is 1 MiB, so the call's own envelope must fit in as well. */
const ALMOST_A_MEBIBYTE = 1024 * 1024 - 1024;
const FALLBACK = "/package/dist/fallback.mjs";

/** There is no EventSource in Node.js. */
const transportsIn = (entry) => ["xhr-streaming", "xhr-polling", ...(entry === "node" ? [] : ["eventsource"])];

/** A page of its own context, of which others can be opened. */
async function visitor(t, entry = "esm", differently) {
  const context = await freshContext(t);
  const served = await packageSite(t, differently);
  const open = () => PageRealm.opened(t, context, `${served.origin}/pages/${entry}.html`);
  return { context, served, open };
}

/** Resolves once nothing is open at the gate; the browser takes a moment to close. */
async function nothingIsOpen(wire) {
  const begun = performance.now();
  while (wire.underWay > 0) {
    assert.ok(performance.now() - begun < 5000, `${wire.underWay} requests are open: ${wire.requests}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

for (const entry of ENTRIES) {
  describe(`what is tried (${entry})`, () => {
    const server = shared(playground);
    const cases = [
      ["refused", {}, "xhr-streaming"],
      ["stripped", {}, "xhr-streaming"],
      ["silenced", {}, "xhr-streaming"],
      ["deafened", {}, "xhr-streaming"],
      ["stalled", {}, "xhr-streaming"],
      ["refused", { isHolding: true }, "xhr-polling"],
      ["silenced", { isHolding: true }, "xhr-polling"],
      ["passed", { isHolding: true }, "websocket"],
    ];
    for (const [webSockets, more, expected] of cases) {
      const name = `a WebSocket that is ${webSockets}${more.isHolding ? ", with answers held back" : ""}: ${expected}`;
      test(name, limit, async (t) => {
        const wire = await gate(t, server(), { webSockets, ...more });
        const place = await realm(t, entry);
        const input = { options: { host: wire.origin }, channel: `${entry} ${name}` };
        assert.equal(await place.run(FILE, "everythingWorks", input), expected);
        await nothingIsOpen(wire);
      });
    }

    for (const name of ["wrongTransportsAreErrors", "theOriginalsChoiceCounts"]) {
      test(sentence(name), limit, async (t) => {
        const place = await realm(t, entry);
        await place.run(FILE, name, { host: server().origin });
      });
    }
  });

  for (const transport of transportsIn(entry)) {
    describe(`by ${transport} (${entry})`, () => {
      const server = shared(playground);

      test("everything works", limit, async (t) => {
        const place = await realm(t, entry);
        const input = { options: { host: server().origin, transports: [transport] }, channel: `${entry} ${transport}` };
        assert.equal(await place.run(FILE, "everythingWorks", input), transport);
      });

      test("many calls and publications keep their order", limit, async (t) => {
        const place = await realm(t, entry);
        const input = { host: server().origin, transport, channel: `${entry} order ${transport}`, count: 5000 };
        await place.run(FILE, "manyKeepTheirOrder", input);
      });

      for (const name of ["everyUnicodePlaneComesBack", "aMegabyteComesBack"]) {
        test(sentence(name), limit, async (t) => {
          const place = await realm(t, entry);
          const input = { file: "payloads.mjs", name, transport, host: server().origin, bytes: ALMOST_A_MEBIBYTE };
          await place.run(FILE, "by", input);
        });
      }

      test("what was sent before the end still arrives, and nothing is left open", limit, async (t) => {
        const wire = await gate(t, server());
        const place = await realm(t, entry);
        const options = { host: wire.origin, transports: [transport] };
        const input = { options, witness: { host: server().origin }, channel: `${entry} end ${transport}` };
        await place.run(FILE, "theEndComesAfterWhatWasSent", input, { "nothing is open": () => nothingIsOpen(wire) });
      });

      test("an end while connecting releases all", limit, async (t) => {
        const wire = await gate(t, server());
        const place = await realm(t, entry);
        const input = { options: { host: wire.origin, transports: [transport] } };
        await place.run(FILE, "anEndWhileConnectingReleasesAll", input, { "nothing is open": () => nothingIsOpen(wire) });
      });

      for (const name of ["comesBackWhenTheServerRestarts", "comesBackWhenTheServerDropsTheConnection", "aSilentNetworkIsNoticed"]) {
        test(sentence(name), limit, async (t) => {
          const own = await playground(t);
          const wire = await network(t, own.port);
          const place = await realm(t, entry);
          const input = { file: "reconnecting.mjs", name, transport, host: wire.origin, channel: name };
          await place.run(FILE, "by", input, {
            "the server stops": () => own.stop(),
            "the server starts": () => own.start(),
            "the network falls silent": () => wire.silence(),
            "the network is back": () => {
              wire.cut();
              wire.restore();
            },
          });
        });
      }

      test("comes back when its connections are cut", limit, async (t) => {
        const wire = await gate(t, server());
        const place = await realm(t, entry);
        const input = { options: { host: wire.origin, transports: [transport] } };
        const outcome = await place.run(FILE, "transportsAround", input, { "the connection is lost": () => wire.cut() });
        assert.deepEqual([outcome.before, outcome.after], [transport, transport]);
      });
    });
  }
}

const API = Object.keys(await import("../scenarios/api.mjs"));
for (const transport of transportsIn("esm")) {
  describe(`the API by ${transport}`, () => {
    const server = shared(playground);
    for (const name of API) {
      test(sentence(name), limit, async (t) => {
        const place = await realm(t, "esm");
        const input = { file: "api.mjs", name, transport, host: server().origin, channel: `${transport} ${name}` };
        await place.run(FILE, "by", input);
      });
    }
  });
}

describe("nothing is left", () => {
  /** Opened before the first measurement: what is made once is there then, and the engine has compiled what is hot. */
  const WARM_UP = 600;
  const SOCKETS = 400;
  /** Bytes. What a socket could leave behind is hundreds of them. */
  const SLACK = 40 * 1024;

  for (const transport of transportsIn("esm")) {
    test(`of ${SOCKETS} sockets by ${transport}`, { timeout: 300_000 }, async (t) => {
      const server = await playground(t);
      const place = await realm(t, "esm");
      const cdp = await place.page.context().newCDPSession(place.page);
      const options = { host: server.origin, transports: [transport] };
      const open = (count) => place.run(FILE, "opensAndEndsInTurn", { options, count });
      const heap = async () => {
        // Each collection may set free what the next one takes.
        for (let round = 0; round < 4; round += 1) {
          await cdp.send("HeapProfiler.collectGarbage");
        }
        return (await cdp.send("Runtime.getHeapUsage")).usedSize;
      };
      await open(WARM_UP);
      const before = await heap();
      await open(SOCKETS);
      const after = await heap();
      t.diagnostic(`heap ${before} -> ${after} bytes`);
      assert.ok(after < before + SLACK, `${before} -> ${after}`);
    });
  }
});

describe("what is kept", () => {
  const server = shared(playground);
  const everything = (place, wire, channel) =>
    place.run(FILE, "everythingWorks", { options: { host: wire.origin }, channel });

  test("what worked is tried first on the next page, and nothing else", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "silenced" });
    const { open } = await visitor(t);
    assert.equal(await everything(await open(), wire, "kept 1"), "xhr-streaming");
    assert.equal(wire.asked("/websocket").length, 1);
    const begun = performance.now();
    assert.equal(await everything(await open(), wire, "kept 2"), "xhr-streaming");
    assert.ok(performance.now() - begun < 2000, "no time was waited out");
    assert.equal(wire.asked("/websocket").length, 1, "the WebSocket was not tried again");
  });

  test("another visitor begins at the top", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    for (const time of [1, 2]) {
      const { open } = await visitor(t);
      assert.equal(await everything(await open(), wire, `visitor ${time}`), "xhr-streaming");
      assert.equal(wire.asked("/websocket").length, time);
    }
  });

  test("it counts for an hour, from the time at which it was found", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { open } = await visitor(t);
    await everything(await open(), wire, "hour 1");
    wire.webSockets = "passed";
    const place = await open();
    const age = (minutes) =>
      place.page.evaluate((minutes) => {
        const [key] = Object.keys(localStorage);
        const [name, since] = localStorage.getItem(key).split(" ");
        localStorage.setItem(key, `${name} ${since - minutes * 60_000}`);
      }, minutes);
    await age(59);
    assert.equal(await everything(place, wire, "hour 2"), "xhr-streaming");
    await age(1);
    assert.equal(await everything(await open(), wire, "hour 3"), "websocket");
    assert.deepEqual(await place.page.evaluate(() => Object.keys(localStorage)), [], "what does not count is forgotten");
  });

  test("when it fails, the others follow from the top in the same attempt", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { open } = await visitor(t);
    assert.equal(await everything(await open(), wire, "fails 1"), "xhr-streaming");
    wire.refuses = (url) => (url.endsWith("/xhr_streaming") ? 503 : undefined);
    assert.equal(await everything(await open(), wire, "fails 2"), "xhr-polling");
    wire.webSockets = "passed";
    wire.refuses = (url) => (url.endsWith("/xhr") ? 503 : undefined);
    assert.equal(await everything(await open(), wire, "fails 3"), "websocket");
  });

  test("a reconnect tries first what worked, and then the rest", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { open } = await visitor(t);
    const place = await open();
    const around = () =>
      place.run(FILE, "transportsAround", { options: { host: wire.origin } }, {
        "the connection is lost": () => {
          wire.cut();
        },
      });
    assert.deepEqual(await around(), { before: "xhr-streaming", after: "xhr-streaming", failures: 0 });
    assert.equal(wire.asked("/websocket").length, 1);
  });

  test("a page that is denied its storage does without", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { context, open } = await visitor(t);
    await context.addInitScript(() => {
      Object.defineProperty(globalThis, "localStorage", {
        get() {
          throw new DOMException("denied", "SecurityError");
        },
      });
    });
    assert.equal(await everything(await open(), wire, "denied"), "xhr-streaming");
  });
});

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
    const { open } = await visitor(t, "esm", { answer: (path) => (path === FALLBACK ? { status: 404, body: "" } : undefined) });
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
    const { open } = await visitor(t, "esm", { answer: (path) => (path === FALLBACK && !isThere ? { status: 404, body: "" } : undefined) });
    const input = { options: { host: wire.origin }, channel: "gone" };
    assert.equal(await (await open()).run(FILE, "everythingWorks", input), "xhr-streaming");
    isThere = false;
    wire.webSockets = "passed";
    const place = await open();
    await place.run(FILE, "failsOnce", input);
    assert.equal(await place.run(FILE, "everythingWorks", input), "websocket");
  });
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
    place.page.on("request", async (request) => {
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
