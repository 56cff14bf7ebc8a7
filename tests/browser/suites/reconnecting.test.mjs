// Lost connections: the server restarts, the network falls silent.

import { describe, test } from "node:test";
import { playground } from "../harness/program.mjs";
import { network } from "../harness/proxy.mjs";
import { ENTRIES, realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";

const FILE = "reconnecting.mjs";
const limit = { timeout: 30_000 };

for (const entry of ENTRIES) {
  describe(`reconnecting (${entry})`, () => {
    for (const name of [
      "comesBackWhenTheServerRestarts",
      "anIterationGoesOnAfterAReconnect",
      "withoutReconnectALostConnectionIsTheEnd",
      "comesBackWhenTheServerDropsTheConnection",
    ]) {
      test(sentence(name), limit, async (t) => {
        const server = await playground(t);
        const place = await realm(t, entry);
        await place.run(FILE, name, { host: server.origin, channel: name }, {
          "the server stops": () => server.stop(),
          "the server starts": () => server.start(),
          "the server restarts": () => server.restart(),
        });
      });
    }

    test("a silent network is noticed", limit, async (t) => {
      const server = await playground(t);
      const wire = await network(t, server.port);
      const place = await realm(t, entry);
      await place.run(FILE, "aSilentNetworkIsNoticed", { host: wire.origin, channel: "silence" }, {
        "the network falls silent": () => wire.silence(),
        // What hung in the old connections is not to come through after all.
        "the network is back": () => {
          wire.cut();
          wire.restore();
        },
      });
    });
  });
}
