// Through a real nginx with the configuration of docs/deploy.md, and with what
// people may have instead: buffering on, no upgrades. The unmodified sockjs-client
// by each transport and by what it finds, and our own client.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assert as chai } from "chai";
import SockJS from "sockjs-client";
import { nginx } from "../harness/nginx.mjs";
import { OriginalsPage, originalsServers, originalsSite } from "../harness/originals.mjs";
import { playground } from "../harness/program.mjs";
import { network } from "../harness/proxy.mjs";
import { realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";
import * as proxied from "../scenarios/nginx.mjs";
import * as scenarios from "../scenarios/sockjs.mjs";

const limit = { timeout: 60_000 };

const IN_NODE = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];
const IN_CHROMIUM = ["websocket", "xhr-streaming", "eventsource", "iframe-htmlfile", "xhr-polling", "jsonp-polling"];
const STREAMING = ["eventsource", "xhr-streaming"];
const POLLING = ["xhr-polling", "jsonp-polling"];

/** What a proxy could spoil. */
const SENSITIVE = [
  "opensAndEchoes",
  "tenThousandMessagesComeBackInOrder",
  "aMebibyteComesBack",
  "heartbeatsKeepItOpen",
  "theServerClosesWithACodeAndAReason",
  "aSecondConnectionOnOneSessionIsRefused",
];
/** The same of our own client, in scenarios/api.mjs. */
const OWN = ["theServerCallsActionsOfEveryStyle", "publicationsComeInOrderAndOnlyWhileSubscribed"];

const BUFFERING = ["proxy_buffering off;", "proxy_buffering on;"];
const NO_UPGRADES = [
  ["proxy_set_header Upgrade $http_upgrade;", 'proxy_set_header Upgrade "";'],
  ["proxy_set_header Connection $tokensocket_connection;", 'proxy_set_header Connection "";'],
];

/** What nginx does by itself, and what holds a stream back when nothing says otherwise. */
const HTTP_1_0 = ["proxy_http_version 1.1;", "proxy_http_version 1.0;"];
const DEAF = [BUFFERING[0], `${BUFFERING[1]} proxy_ignore_headers X-Accel-Buffering;`];

/** How many fronts are tried at a time: most of a test is waiting. */
const AT_A_TIME = 8;

const inNode = (file, name, origin, transport) => file[name]({ SockJS, assert: chai, origin, transport });

/** One node behind nginx. */
const front = (options) =>
  shared(async (owner) => {
    const { served, server } = await originalsServers(owner);
    return { served, proxy: await nginx(owner, { nodes: [server.host], ...options }) };
  });

/** Two nodes behind nginx, and whether both were asked for something. */
const fronts = (spread) =>
  shared(async (owner) => {
    const served = await originalsSite(owner);
    const links = await Promise.all(
      [0, 1].map(async () => network(owner, (await playground(owner, ...served.serverOptions)).port)),
    );
    const proxy = await nginx(owner, { nodes: links.map(({ host }) => host), spread });
    return { served, proxy, links };
  });

/** @param {string[]} expected the transports of which it must have found one */
function testOwnClient(behind, expected) {
  for (const entry of ["iife", "node"]) {
    test(`our client finds ${expected.join(" or ")} (${entry})`, limit, async (t) => {
      const place = await realm(t, entry);
      const input = { options: { host: behind().proxy.origin }, channel: `${entry} everything` };
      const found = await place.run("fallback.mjs", "everythingWorks", input);
      assert.ok(expected.includes(found), `it found ${found}`);
    });

    for (const name of OWN) {
      test(`our client: ${sentence(name)} (${entry})`, limit, async (t) => {
        const place = await realm(t, entry);
        await place.run("api.mjs", name, { host: behind().proxy.origin, channel: `${entry} ${name}` });
      });
    }
  }
}

function testWhatIsFound(behind, expected) {
  test(`sockjs-client finds ${expected} (node)`, limit, async () => {
    assert.equal(await inNode(proxied, "worksByWhatItFinds", behind().proxy.origin), expected);
  });

  test(`sockjs-client finds ${expected} (Chromium)`, limit, async (t) => {
    const { served, proxy } = behind();
    const page = await OriginalsPage.opened(t, { served });
    assert.equal(await page.run("nginx.mjs", "worksByWhatItFinds", { origin: proxy.origin }), expected);
  });
}

function testInNode(behind, transports) {
  for (const transport of transports) {
    for (const name of SENSITIVE) {
      test(`by ${transport}: ${sentence(name)} (node)`, limit, async () => {
        await inNode(scenarios, name, behind().proxy.origin, transport);
      });
    }
  }
}

function testInChromium(behind, transports) {
  // Its certificate is of its own making.
  const browser = { ignoreHTTPSErrors: true };
  const page = shared((owner) => OriginalsPage.opened(owner, { served: behind().served, browser }));
  for (const transport of transports) {
    for (const name of SENSITIVE) {
      test(`by ${transport}: ${sentence(name)} (Chromium)`, limit, async () => {
        await page().run("sockjs.mjs", name, { origin: behind().proxy.origin, transport });
      });
    }
  }
}

describe("behind nginx", { concurrency: AT_A_TIME }, () => {
  describe("as docs/deploy.md has it, without TLS", { concurrency: 1 }, () => {
    const behind = front({});
    testWhatIsFound(behind, "websocket");
    testInNode(behind, IN_NODE);
    testOwnClient(behind, ["websocket"]);
  });

  describe("as docs/deploy.md has it", { concurrency: 1 }, () => {
    testInChromium(front({ tls: true }), IN_CHROMIUM);
  });

  describe("with buffering on", { concurrency: 1 }, () => {
    const behind = front({ changes: [BUFFERING] });
    testWhatIsFound(behind, "websocket");
    testInNode(behind, IN_NODE);
    testOwnClient(behind, ["websocket"]);
  });

  describe("without upgrades", { concurrency: 1 }, () => {
    const behind = front({ changes: NO_UPGRADES });
    testWhatIsFound(behind, "xhr-streaming");
    testOwnClient(behind, STREAMING);
  });

  describe("with no more than proxy_pass", { concurrency: 1 }, () => {
    const behind = front({ changes: [...NO_UPGRADES, HTTP_1_0, BUFFERING] });
    testWhatIsFound(behind, "xhr-streaming");
    testOwnClient(behind, STREAMING);
  });

  describe("that holds back every stream", { concurrency: 1 }, () => {
    const behind = front({ changes: [...NO_UPGRADES, HTTP_1_0, DEAF] });
    testWhatIsFound(behind, "xhr-polling");
    testOwnClient(behind, ["xhr-polling"]);
  });

  describe("before two nodes, by session", { concurrency: 1 }, () => {
    const behind = fronts("bySession");
    testInNode(behind, IN_NODE);
    testInChromium(behind, POLLING);

    test("both nodes have sessions", limit, async () => {
      const { proxy, links } = behind();
      await Promise.all(Array.from({ length: 20 }, () => inNode(scenarios, "opensAndEchoes", proxy.origin, "xhr-polling")));
      links.forEach(({ connections }) => assert.ok(connections > 0));
    });
  });

  describe("before two nodes, by address", { concurrency: 1 }, () => {
    const behind = fronts("byAddress");
    testInNode(behind, ["xhr-polling"]);
    testOwnClient(behind, ["websocket"]);
  });
});
