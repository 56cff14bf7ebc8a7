// The browser build of the unmodified token-sockjs-client with sockjs-client's
// own, in pages of the server's origin, and of another, where it takes its
// tokens by JSONP: each scenario by each transport that its documentation names.

import { describe, test } from "node:test";
import { OriginalsPage, originalsServers } from "../harness/originals.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";

const FILE = "original.mjs";
const limit = { timeout: 60_000 };

const TRANSPORTS = ["websocket", "xhr-streaming", "xhr-polling", "jsonp-polling"];

const names = Object.keys(await import(`../scenarios/${FILE}`));

describe("the original client in a page", { concurrency: TRANSPORTS.length }, () => {
  for (const transport of TRANSPORTS) {
    describe(`by ${transport}`, { concurrency: 1 }, () => {
      const both = shared(originalsServers);

      describe("of the server's own origin", { concurrency: 1 }, () => {
        // The greeting, at an origin that has no page of ours.
        const page = shared((owner) => OriginalsPage.opened(owner, { ...both(), at: `${both().server.origin}/sockets/` }));
        for (const name of names) {
          test(sentence(name), limit, () => page().run(FILE, name, { options: {}, transport, channel: name }));
        }
      });

      describe("of another origin, by JSONP", { concurrency: 1 }, () => {
        const page = shared((owner) => OriginalsPage.opened(owner, both()));
        for (const name of names) {
          test(sentence(name), limit, () => {
            const options = { host: both().server.origin };
            return page().run(FILE, name, { options, transport, channel: `${name} JSONP` });
          });
        }
      });
    });
  }
});
