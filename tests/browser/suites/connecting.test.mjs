// The way to `ready`: refusals, a server that is gone, hosts, other origins.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PageRealm, ENTRIES, packageSite, realm } from "../harness/realm.mjs";
import { freshContext } from "../harness/chromium.mjs";
import { gateway, playground } from "../harness/program.mjs";
import { shared } from "../harness/shared.mjs";
import { sentence } from "../harness/sentence.mjs";

const FILE = "connecting.mjs";
const limit = { timeout: 30_000 };

for (const entry of ENTRIES) {
  describe(`connecting (${entry})`, () => {
    const server = shared(playground);

    for (const name of [
      "aRefusedTokenEndsTheSocket",
      "aFailingAuthenticatorIsSaid",
      "wrongOptionsAreErrorsThatSayWhy",
      "aHostMayBeWrittenInManyWays",
      "theOriginalsOptionsWork",
    ]) {
      test(sentence(name), limit, async (t) => {
        const place = await realm(t, entry);
        await place.run(FILE, name, { host: server().origin });
      });
    }

    test("a server that is gone at start is said, and tried again", limit, async (t) => {
      const late = await playground(t);
      await late.stop();
      const place = await realm(t, entry);
      const stages = { "the server starts": () => late.start() };
      await place.run(FILE, "aServerThatIsGoneAtStartIsSaidAndTriedAgain", { host: late.origin }, stages);
    });

    test("without reconnect, a server that is gone is the end", limit, async (t) => {
      const gone = await playground(t);
      await gone.stop();
      const place = await realm(t, entry);
      await place.run(FILE, "withoutReconnectAServerThatIsGoneIsTheEnd", { host: gone.origin });
    });
  });
}

describe("origins", () => {
  test("a page of the server's own origin needs no host", limit, async (t) => {
    const server = await gateway(t);
    const served = await packageSite(t);
    const context = await freshContext(t);
    const page = await context.newPage();
    await page.goto(`${server.origin}/healthcheck`);
    await page.addScriptTag({ url: `${served.origin}/package/dist/tokensocket.min.js` });
    const answer = await page.evaluate(async () => {
      const socket = new TokenSocket({ authentication: { user: "ann" } });
      const { user } = await socket.rpc("whoami");
      await new Promise((resolve) => socket.end(resolve));
      return user;
    });
    assert.equal(answer, "ann");
  });

  test("an ESM of another origin brings its wasm along", limit, async (t) => {
    const server = await gateway(t);
    const served = await packageSite(t);
    const context = await freshContext(t);
    const page = await context.newPage();
    await page.goto(`${server.origin}/healthcheck`);
    const answer = await page.evaluate(async (url) => {
      const { TokenSocket } = await import(url);
      const socket = new TokenSocket();
      const value = await socket.rpc("echo", "from elsewhere");
      await new Promise((resolve) => socket.end(resolve));
      return value;
    }, `${served.origin}/package/dist/tokensocket.mjs`);
    assert.equal(answer, "from elsewhere");
    assert.ok(served.requested.includes("/package/dist/tokensocket_bg.wasm"));
  });

  test("a page of a named origin is let in by CORS, another is not", limit, async (t) => {
    const [named, other] = [await packageSite(t), await packageSite(t)];
    const server = await gateway(t, "--allow-origin", named.origin);
    const ready = async (origin, options = {}) => {
      const context = await freshContext(t);
      const place = await PageRealm.opened(t, context, `${origin}/pages/iife.html`);
      return place.run("origins.mjs", "readyOrWhyNot", { host: server.origin, ...options });
    };
    assert.deepEqual(await ready(named.origin), { user: "anonymous" });
    assert.equal((await ready(other.origin)).code, "token");
  });

  test("a token comes by JSONP where it is asked for", limit, async (t) => {
    const server = await playground(t);
    const place = await realm(t, "iife");
    const requests = [];
    place.page.on("request", (request) => requests.push(request));
    const input = { host: server.origin, tokenRequest: "jsonp", authentication: { user: "Zoë & co=1" } };
    const before = await place.page.evaluate(() => Object.keys(globalThis).length);
    assert.deepEqual(await place.run("origins.mjs", "readyOrWhyNot", input), { user: "Zoë & co=1" });
    const [token] = requests.filter((request) => request.url().includes("/socket/token"));
    assert.equal(token.resourceType(), "script");
    assert.equal(await place.page.evaluate(() => document.querySelectorAll("script[src*=token\\?]").length), 0);
    assert.equal(await place.page.evaluate(() => Object.keys(globalThis).length), before, "a global is left");
  });

  test("a refused or failed JSONP token says why", limit, async (t) => {
    const server = await playground(t);
    const place = await realm(t, "iife");
    const input = { host: server.origin, tokenRequest: "jsonp" };
    const readyOrWhyNot = (more) => place.run("origins.mjs", "readyOrWhyNot", { ...input, ...more });
    // A browser runs no script of an answer with an error status, so the reason stays unknown.
    const refused = await readyOrWhyNot({ authentication: { deny: 1 } });
    assert.ok(["refused", "token"].includes(refused.code), refused.code);
    await server.stop();
    assert.equal((await readyOrWhyNot({})).code, "token");
  });
});
