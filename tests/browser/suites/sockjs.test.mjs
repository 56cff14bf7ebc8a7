// The unmodified sockjs-client, in Node.js and in Chromium: each scenario by
// each transport. Pages are of another origin than the server, but for htmlfile,
// which works in a page of the server's own only.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assert as chai } from "chai";
import SockJS from "sockjs-client";
import { OriginalsPage, originalsServers } from "../harness/originals.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";
import * as scenarios from "../scenarios/sockjs.mjs";

const FILE = "sockjs.mjs";
const limit = { timeout: 60_000 };

const IN_NODE = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];
const IN_CHROMIUM = [
  "websocket",
  "xhr-streaming",
  "eventsource",
  "iframe-eventsource",
  "iframe-htmlfile",
  "xhr-polling",
  "iframe-xhr-polling",
  "jsonp-polling",
  "htmlfile",
];

/** How many transports are tried at a time: most of a test is waiting. */
const AT_A_TIME = 6;

const stagesOf = (server) => ({ "the server restarts": () => server.restart() });

describe("sockjs-client", { concurrency: AT_A_TIME }, () => {
  for (const transport of IN_NODE) {
    describe(`by ${transport} (node)`, { concurrency: 1 }, () => {
      const both = shared(originalsServers);
      for (const [name, scenario] of Object.entries(scenarios)) {
        test(sentence(name), limit, async () => {
          const { server } = both();
          const stages = stagesOf(server);
          await scenario({ SockJS, assert: chai, origin: server.origin, transport, stage: (stage) => stages[stage]() });
        });
      }
    });
  }

  for (const transport of IN_CHROMIUM) {
    const isOneOrigin = transport === "htmlfile";
    describe(`by ${transport} (Chromium, ${isOneOrigin ? "same origin" : "another origin"})`, { concurrency: 1 }, () => {
      // Its own, since a scenario ends it.
      const both = shared(originalsServers);
      const page = shared((owner) => {
        const { served, server } = both();
        // The greeting, at an origin that has no page of ours.
        return OriginalsPage.opened(owner, { served, at: isOneOrigin ? `${server.origin}/echo` : undefined });
      });
      const run = (name) => {
        const { server } = both();
        return page().run(FILE, name, { origin: server.origin, transport }, stagesOf(server));
      };

      for (const name of Object.keys(scenarios)) {
        test(sentence(name), limit, () => run(name));
      }

      test("a cookie comes where one is asked for, and one that is there is kept", limit, async () => {
        const { context } = page();
        const sessionCookies = async () => {
          const cookies = await context.cookies();
          return cookies.filter(({ name, path }) => name === "JSESSIONID" && path === "/").map(({ value }) => value);
        };
        await context.clearCookies();
        await run("opensAndEchoes");
        assert.deepEqual(await sessionCookies(), []);
        await run("aServiceMayNeedACookie");
        // By WebSocket there is nothing to keep together.
        assert.deepEqual(await sessionCookies(), transport === "websocket" ? [] : ["dummy"]);
        await context.addCookies([{ name: "JSESSIONID", value: "node-1", url: both().server.origin }]);
        await run("aServiceMayNeedACookie");
        assert.deepEqual(await sessionCookies(), ["node-1"]);
      });
    });
  }
});
