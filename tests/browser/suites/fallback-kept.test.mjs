// What a page keeps of the transport that worked, for those that come after it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gate } from "../harness/gate.mjs";
import { playground } from "../harness/program.mjs";
import { visitor } from "../harness/realm.mjs";
import { shared } from "../harness/shared.mjs";

const FILE = "fallback.mjs";
const limit = { timeout: 60_000 };

describe("what is kept", () => {
  const server = shared(playground);
  const everything = (place, wire, channel) =>
    place.run(FILE, "everythingWorks", { options: { host: wire.origin }, channel });

  test("what worked is tried first on the next page, and nothing else", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "silenced" });
    const { open } = await visitor(t);
    assert.equal(await everything(await open(), wire, "kept 1"), "xhr-streaming");
    assert.equal(wire.asked("/websocket").length, 1);
    const begun = performance.now();
    assert.equal(await everything(await open(), wire, "kept 2"), "xhr-streaming");
    assert.ok(performance.now() - begun < 2000, "no time was waited out");
    assert.equal(wire.asked("/websocket").length, 1, "the WebSocket was not tried again");
  });

  test("another visitor begins at the top", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    for (const time of [1, 2]) {
      const { open } = await visitor(t);
      assert.equal(await everything(await open(), wire, `visitor ${time}`), "xhr-streaming");
      assert.equal(wire.asked("/websocket").length, time);
    }
  });

  test("it counts for an hour, from the time at which it was found", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { open } = await visitor(t);
    await everything(await open(), wire, "hour 1");
    wire.webSockets = "passed";
    const place = await open();
    const age = (minutes) =>
      place.page.evaluate((minutes) => {
        const [key] = Object.keys(localStorage);
        const [name, since] = localStorage.getItem(key).split(" ");
        localStorage.setItem(key, `${name} ${since - minutes * 60_000}`);
      }, minutes);
    await age(59);
    assert.equal(await everything(place, wire, "hour 2"), "xhr-streaming");
    await age(1);
    assert.equal(await everything(await open(), wire, "hour 3"), "websocket");
    assert.deepEqual(await place.page.evaluate(() => Object.keys(localStorage)), [], "what does not count is forgotten");
  });

  test("when it fails, the others follow from the top in the same attempt", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { open } = await visitor(t);
    assert.equal(await everything(await open(), wire, "fails 1"), "xhr-streaming");
    wire.refuses = (url) => (url.endsWith("/xhr_streaming") ? 503 : undefined);
    assert.equal(await everything(await open(), wire, "fails 2"), "xhr-polling");
    wire.webSockets = "passed";
    wire.refuses = (url) => (url.endsWith("/xhr") ? 503 : undefined);
    assert.equal(await everything(await open(), wire, "fails 3"), "websocket");
  });

  test("a reconnect tries first what worked, and then the rest", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { open } = await visitor(t);
    const place = await open();
    const around = () =>
      place.run(FILE, "transportsAround", { options: { host: wire.origin } }, {
        "the connection is lost": () => {
          wire.cut();
        },
      });
    assert.deepEqual(await around(), { before: "xhr-streaming", after: "xhr-streaming", failures: 0 });
    assert.equal(wire.asked("/websocket").length, 1);
  });

  test("a page that is denied its storage does without", limit, async (t) => {
    const wire = await gate(t, server(), { webSockets: "refused" });
    const { context, open } = await visitor(t);
    await context.addInitScript(() => {
      Object.defineProperty(globalThis, "localStorage", {
        get() {
          throw new DOMException("denied", "SecurityError");
        },
      });
    });
    assert.equal(await everything(await open(), wire, "denied"), "xhr-streaming");
  });
});
