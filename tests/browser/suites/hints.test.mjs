// What a page is told by its browser: the network goes and comes, the tab is hidden
// and shown, the page is left and comes back.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ownContext } from "../harness/chromium.mjs";
import { playground } from "../harness/program.mjs";
import { network } from "../harness/proxy.mjs";
import { packageSite, PageRealm, realm } from "../harness/realm.mjs";

const FILE = "reconnecting.mjs";
const limit = { timeout: 30_000 };

describe("hints of the page", () => {
  test("the network goes and comes: the connection is checked at once", limit, async (t) => {
    const server = await playground(t);
    const wire = await network(t, server.port);
    const place = await realm(t, "esm");
    const context = place.page.context();
    const isOnline = () => place.page.evaluate(() => navigator.onLine);
    await place.run(FILE, "theBrowsersHintsBringItBack", { host: wire.origin, channel: "offline" }, {
      "the network goes": async () => {
        await context.setOffline(true);
        // As with a real loss: what was on its way is gone, and no end is told.
        wire.silence();
        assert.equal(await isOnline(), false);
      },
      "the network comes": async () => {
        wire.forget();
        await context.setOffline(false);
        assert.equal(await isOnline(), true);
      },
    });
  });

  test("online ends a long wait for the next attempt", limit, async (t) => {
    const server = await playground(t);
    const place = await realm(t, "esm");
    const context = place.page.context();
    await place.run(FILE, "aHintEndsALongWait", { host: server.origin, channel: "online" }, {
      "the server stops": () => server.stop(),
      "the server is there again and the page is woken": async () => {
        await context.setOffline(true);
        await server.start();
        await context.setOffline(false);
      },
    });
  });

  test("a tab that was hidden checks its connection when it is shown", limit, async (t) => {
    const server = await playground(t);
    const wire = await network(t, server.port);
    const { place, hide, show } = await hideable(t);
    await place.run(FILE, "theBrowsersHintsBringItBack", { host: wire.origin, channel: "hidden" }, {
      "the network goes": async () => {
        await hide();
        wire.silence();
      },
      "the network comes": async () => {
        wire.forget();
        await show();
      },
    });
  });

  test("a tab that is shown again ends a long wait for the next attempt", limit, async (t) => {
    const server = await playground(t);
    const { place, hide, show } = await hideable(t);
    await place.run(FILE, "aHintEndsALongWait", { host: server.origin, channel: "shown" }, {
      "the server stops": () => server.stop(),
      "the server is there again and the page is woken": async () => {
        await hide();
        await server.start();
        await show();
      },
    });
  });

  test("a hidden tab stays connected and hears messages", limit, async (t) => {
    const server = await playground(t);
    const { place, hide, show } = await hideable(t);
    await place.run("hidden.mjs", "hearsMessagesWhileHidden", { host: server.origin, channel: "news" }, { hide, show });
  });

  test("a page from the back/forward cache comes back", limit, async (t) => {
    const server = await playground(t);
    const { place } = await hideable(t);
    const { page } = place;
    const echo = (value) =>
      page.evaluate((sent) => globalThis.socket.rpc("echo", sent, { timeout: 10_000 }), value);
    await place.run("hidden.mjs", "leavesASocketInThePage", { host: server.origin });
    assert.equal(await echo("before"), "before");
    await page.goto(new URL("/pages/blank.html", page.url()).href);
    await page.goBack();
    // Chromium keeps a page with an open WebSocket or throws it away; either way it must work.
    const kept = await page.evaluate(() => globalThis.socket !== undefined);
    if (!kept) {
      await place.run("hidden.mjs", "leavesASocketInThePage", { host: server.origin });
    }
    assert.equal(await echo("after"), "after");
  });
});

/** A page in a tab that can be hidden behind another. */
async function hideable(t) {
  const context = await ownContext();
  const served = await packageSite(t);
  const place = await PageRealm.opened(t, context, `${served.origin}/pages/esm.html`);
  const other = await context.newPage();
  t.after(() => Promise.all([place.page.close(), other.close()]));
  await place.page.bringToFront();
  const visibility = () => place.page.evaluate(() => document.visibilityState);
  const become = async (state, tab) => {
    const changed = place.page.evaluate(
      (wanted) =>
        new Promise((resolve) => {
          const look = () => document.visibilityState === wanted && resolve();
          document.addEventListener("visibilitychange", look);
          look();
        }),
      state,
    );
    await tab.bringToFront();
    await changed;
    assert.equal(await visibility(), state);
  };
  await become("visible", place.page);
  return { place, hide: () => become("hidden", other), show: () => become("visible", place.page) };
}
