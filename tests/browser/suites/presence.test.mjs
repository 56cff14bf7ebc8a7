// Presence: who is on a channel, and tabs that come and go.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { freshContext } from "../harness/chromium.mjs";
import { playground } from "../harness/program.mjs";
import { ENTRIES, packageSite, PageRealm, realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";

const FILE = "presence.mjs";
const limit = { timeout: 30_000 };
const channel = "kept.lobby";

for (const entry of ENTRIES) {
  describe(`presence (${entry})`, () => {
    const name = "whoIsThereCanBeAskedFor";
    test(sentence(name), limit, async (t) => {
      const server = await playground(t);
      const place = await realm(t, entry);
      await place.run(FILE, name, { host: server.origin, channel });
    });
  });
}

describe("presence of pages", () => {
  test("tabs that come and go are told to who asked for it", limit, async (t) => {
    const server = await playground(t);
    const context = await freshContext(t);
    const served = await packageSite(t);
    const tab = async (user, presence) => {
      const place = await PageRealm.opened(t, context, `${served.origin}/pages/esm.html`);
      await place.run(FILE, "watches", { host: server.origin, channel, user, presence });
      return place;
    };
    const watcher = await tab("ann", true);
    const other = await tab("bob", false);
    const seen = (event, user) => watcher.run(FILE, "hasSeen", { event, user });
    await seen("join", "bob");
    await other.page.reload();
    await seen("leave", "bob");
    const third = await tab("cid", true);
    await seen("join", "cid");
    await third.page.close();
    const all = await seen("leave", "cid");
    const about = (event, name) => [event, channel, name, { name }];
    const others = all.filter(([, , user]) => user !== "ann");
    assert.deepEqual(others, [about("join", "bob"), about("leave", "bob"), about("join", "cid"), about("leave", "cid")]);
  });
});
