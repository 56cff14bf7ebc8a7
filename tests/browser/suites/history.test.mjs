// Channels with history: nothing is lost while a page is away, or it is told.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { freshContext } from "../harness/chromium.mjs";
import { playground } from "../harness/program.mjs";
import { network } from "../harness/proxy.mjs";
import { ENTRIES, packageSite, PageRealm, realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";

const FILE = "history.mjs";
const limit = { timeout: 60_000 };
/** The channels under these names keep a thousand messages, and three. */
const [KEPT, BRIEF] = ["kept", "brief"];
const AWAY = {
  everyMessageComesOnceInItsOrderThroughCuts: KEPT,
  whatWasMissedReachesAReaderHoweverMuchItIs: KEPT,
  moreThanIsKeptIsToldAndNotMadeUpFor: BRIEF,
};
const HERE = [
  "aServerThatBeganAnewIsToldApart",
  "historyIsReadInPages",
  "aSubscriptionGoesOnFromAPlace",
  "publishTellsThePlaceAndAKeyIsOneMessage",
  "aPatternReadsWhatItCovers",
];

for (const entry of ENTRIES) {
  describe(`history (${entry})`, () => {
    for (const [name, kept] of Object.entries(AWAY)) {
      test(sentence(name), limit, async (t) => {
        const server = await playground(t);
        const wire = await network(t, server.port);
        const place = await realm(t, entry);
        const input = { host: wire.origin, direct: server.origin, channel: `${kept}.${name}` };
        await place.run(FILE, name, input, {
          "the network is cut and back": () => {
            wire.cut();
            wire.restore();
          },
          "the network goes": () => wire.cut(),
          "the network comes": () => wire.restore(),
        });
      });
    }

    for (const name of HERE) {
      test(sentence(name), limit, async (t) => {
        const server = await playground(t);
        const place = await realm(t, entry);
        const input = { host: server.origin, channel: `${KEPT}.${name}` };
        await place.run(FILE, name, input, { "the server restarts": () => server.restart() });
      });
    }
  });
}

describe("history across pages", () => {
  test("a page that is loaded anew while somebody publishes gets every message once, in order", limit, async (t) => {
    const server = await playground(t);
    const context = await freshContext(t);
    const served = await packageSite(t);
    const [reader, writer] = await Promise.all(
      [1, 2].map(() => PageRealm.opened(t, context, `${served.origin}/pages/esm.html`)),
    );
    const input = { host: server.origin, channel: `${KEPT}.reloads` };
    const follow = () => reader.run(FILE, "followsAcrossReloads", input);
    await follow();
    let stop;
    const stopped = new Promise((resolve) => (stop = resolve));
    const publishing = writer.run(FILE, "publishesUntilTold", input, { "all reloads are done": () => stopped });
    const read = (count) =>
      reader.page.waitForFunction((count) => globalThis.followed.messages.length >= count, count);
    const seen = () => reader.page.evaluate(() => globalThis.followed);
    for (let time = 0; time < 5; time += 1) {
      await read((await seen()).messages.length + 20);
      await reader.page.reload();
      await follow();
      assert.deepEqual((await seen()).events, ["recovered"]);
    }
    stop();
    const last = await publishing;
    await read(last);
    assert.deepEqual((await seen()).messages, Array.from({ length: last }, (_, index) => index + 1));
  });
});
