// Each transport but the WebSocket: all that works by a WebSocket works by it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gate } from "../harness/gate.mjs";
import { playground } from "../harness/program.mjs";
import { network } from "../harness/proxy.mjs";
import { ENTRIES, realm, transportsIn } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";

const FILE = "fallback.mjs";
const limit = { timeout: 60_000 };
/** The largest message a server takes by default is 1 MiB, so the call's own envelope must fit in as well. */
const ALMOST_A_MEBIBYTE = 1024 * 1024 - 1024;

for (const entry of ENTRIES) {
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
        await place.run(FILE, "theEndComesAfterWhatWasSent", input, { "nothing is open": () => wire.emptied() });
      });

      test("an end while connecting releases all", limit, async (t) => {
        const wire = await gate(t, server());
        const place = await realm(t, entry);
        const input = { options: { host: wire.origin, transports: [transport] } };
        await place.run(FILE, "anEndWhileConnectingReleasesAll", input, { "nothing is open": () => wire.emptied() });
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
