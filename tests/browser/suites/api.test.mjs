// Every scenario of scenarios/api.mjs and scenarios/payloads.mjs, in every entry.

import { describe, test } from "node:test";
import { playground } from "../harness/program.mjs";
import { ENTRIES, realm } from "../harness/realm.mjs";
import { shared } from "../harness/shared.mjs";
import { sentence } from "../harness/sentence.mjs";

const FILES = ["api.mjs", "payloads.mjs"];
/** The largest message a server takes by default is 1 MiB, so the call's own envelope must fit in as well. */
const ALMOST_A_MEBIBYTE = 1024 * 1024 - 1024;

const scenarios = [];
for (const file of FILES) {
  const names = Object.keys(await import(`../scenarios/${file}`));
  scenarios.push(...names.map((name) => ({ file, name })));
}

for (const entry of ENTRIES) {
  describe(`the API (${entry})`, () => {
    const server = shared(playground);
    for (const { file, name } of scenarios) {
      test(sentence(name), { timeout: 30_000 }, async (t) => {
        const place = await realm(t, entry);
        const input = { host: server().origin, channel: `${entry} ${name}`, bytes: ALMOST_A_MEBIBYTE };
        await place.run(file, name, input);
      });
    }
  });
}
