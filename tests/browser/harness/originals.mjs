// The unmodified original clients, `sockjs-client` and `token-sockjs-client`, in
// pages, as their packages bring them. Out: a web server with their builds, a
// `playground` whose iframe page loads the same one, since the two must be of
// one version, and pages that have loaded them.

import path from "node:path";
import { freshContext } from "./chromium.mjs";
import { playground } from "./program.mjs";
import { PageRealm } from "./realm.mjs";
import { site } from "./site.mjs";

const here = path.resolve(import.meta.dirname, "..");
const modules = path.join(here, "node_modules");

/** Where the site has the clients' builds. */
const SOCKJS = "/sockjs-client/sockjs.min.js";
const SCRIPTS = [SOCKJS, "/token-sockjs-client/tokensockjs.min.js", "/pages/originals.js"];

/** The client itself throws this when a poll ends that it has given up: its page keeps no callback then. */
const LATE_CALLBACK = /\b_jp\.\w+ is not a function$/;

/** The web server of the pages, and the options of a `playground` that serves them. */
export async function originalsSite(t) {
  const served = await site(t, {
    "/sockjs-client/": path.join(modules, "sockjs-client/dist"),
    "/token-sockjs-client/": path.join(modules, "token-sockjs-client/clients/browser"),
    "/pages/": path.join(here, "pages"),
    "/scenarios/": path.join(here, "scenarios"),
    "/chai/": path.join(modules, "chai"),
  });
  return Object.assign(served, { serverOptions: ["--sockjs-client-url", served.origin + SOCKJS] });
}

/** The web server of the pages, `served`, and a `playground` for them, `server`. */
export async function originalsServers(t) {
  const served = await originalsSite(t);
  return { served, server: await playground(t, ...served.serverOptions) };
}

/** A page that has loaded the original clients. */
export class OriginalsPage {
  context;
  #realm;
  #origin;
  #url;
  #isOneOrigin;

  /**
   * @param {object} place
   * @param {object} place.served the `originalsSite`
   * @param {string} [place.at] a page of the server's own origin; without it the page is the site's
   * @param {object} [place.browser] options of its context
   */
  static async opened(owner, { served, at, browser }) {
    const page = new OriginalsPage();
    page.#origin = served.origin;
    page.#isOneOrigin = at !== undefined;
    page.#url = at ?? `${served.origin}/pages/originals.html`;
    page.context = await freshContext(owner, browser);
    page.#realm = await PageRealm.opened(owner, page.context, page.#url, { origin: served.origin });
    return page;
  }

  /** What one scenario returns, in a page that is loaded anew: what another has left open would take connections from it. */
  async run(file, name, input, stages) {
    const realm = this.#realm;
    await realm.page.goto(this.#url);
    for (const script of this.#isOneOrigin ? SCRIPTS : []) {
      await realm.page.addScriptTag({ url: this.#origin + script });
    }
    const result = await realm.run(file, name, input, stages);
    realm.uncaught = realm.uncaught.filter(({ message }) => !LATE_CALLBACK.test(message));
    return result;
  }
}
