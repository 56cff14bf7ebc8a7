// Every scenario of scenarios/api.mjs by each transport but the WebSocket.

import { describe, test } from "node:test";
import { playground } from "../harness/program.mjs";
import { realm, transportsIn } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";

const FILE = "fallback.mjs";
const limit = { timeout: 60_000 };

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
