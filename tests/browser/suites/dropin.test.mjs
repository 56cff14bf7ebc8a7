// The IIFE in place of the original client: against the original npm server and
// a real Redis, from a page of the server's own origin and, by JSONP, of another.

import { describe, test } from "node:test";
import { freshContext } from "../harness/chromium.mjs";
import { originalServer } from "../harness/original.mjs";
import { packageSite, PageRealm, realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";

const FILE = "dropin.mjs";
const limit = { timeout: 30_000 };

const names = Object.keys(await import(`../scenarios/${FILE}`));

describe("in place of the original client", () => {
  const server = shared(originalServer);

  for (const name of names) {
    test(`${sentence(name)} (same origin)`, limit, async (t) => {
      const served = await packageSite(t);
      const context = await freshContext(t);
      const { origin } = served;
      // The server's own greeting, at an origin that has no page of ours.
      const place = await PageRealm.opened(t, context, `${server().origin}/sockets/`, { origin });
      await place.page.addScriptTag({ url: `${origin}/package/dist/tokensocket.min.js` });
      await place.page.addScriptTag({ url: `${origin}/pages/iife.js` });
      await place.run(FILE, name, { options: {}, channel: name });
    });

    test(`${sentence(name)} (another origin, JSONP)`, limit, async (t) => {
      const place = await realm(t, "iife");
      const options = { host: server().origin, tokenRequest: "jsonp" };
      await place.run(FILE, name, { options, channel: `${name} jsonp`, isJsonp: true });
    });
  }
});
