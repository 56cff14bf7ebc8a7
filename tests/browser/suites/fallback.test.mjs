// Where there is no WebSocket to be had: what is tried instead, and that all of it is
// tried in the time that connecting may take.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gate } from "../harness/gate.mjs";
import { playground } from "../harness/program.mjs";
import { ENTRIES, realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";

const FILE = "fallback.mjs";
const limit = { timeout: 60_000 };

/** How many entries are tried at a time: what is waited for are time limits, which have to be met. */
const AT_A_TIME = 2;

describe("where there is no WebSocket", { concurrency: AT_A_TIME }, () => {
  for (const entry of ENTRIES) {
    describe(`what is tried (${entry})`, { concurrency: 1 }, () => {
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
          await wire.emptied();
        });
      }

      for (const name of ["wrongTransportsAreErrors", "theOriginalsChoiceCounts"]) {
        test(sentence(name), limit, async (t) => {
          const place = await realm(t, entry);
          await place.run(FILE, name, { host: server().origin });
        });
      }
    });
  }
});
