// Errors in the user's functions, and what the server is told of an aborted call.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { playground } from "../harness/program.mjs";
import { ENTRIES, PAGE_ENTRIES, realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";
import { shared } from "../harness/shared.mjs";

const FILE = "callbacks.mjs";
const limit = { timeout: 30_000 };

for (const entry of ENTRIES) {
  describe(`functions of the user (${entry})`, () => {
    const server = shared(playground);

    for (const name of ["aLoopThatThrowsIsLeft", "actionsThatMisbehaveDoNoHarm"]) {
      test(sentence(name), limit, async (t) => {
        const place = await realm(t, entry);
        await place.run(FILE, name, { host: server().origin, channel: name });
      });
    }
  });
}

for (const entry of PAGE_ENTRIES) {
  test(`errors in callbacks do no harm and are the page's errors (${entry})`, limit, async (t) => {
    const server = await playground(t);
    const place = await realm(t, entry);
    const input = { host: server.origin, channel: "errors" };
    const thrown = await place.run(FILE, "errorsInCallbacksDoNoHarm", input);
    await place.settled();
    const reported = place.uncaught.splice(0).map((error) => error.message);
    assert.equal(reported.length, thrown, reported.join("\n"));
    assert.ok(reported.every((message) => message.startsWith("thrown by")), reported.join("\n"));
  });
}

describe("an aborted call", () => {
  test("is stopped at the server", limit, async (t) => {
    const server = await playground(t);
    const place = await realm(t, "esm");
    const frames = framesOf(place.page);
    await place.run("api.mjs", "aCallEndsWithItsSignal", { host: server.origin });
    const call = frames.sent.find(({ rpc }) => rpc === "slow");
    const cancel = frames.sent.find(({ rpc }) => rpc === "_cancel");
    assert.equal(cancel?.req.uuid, call.uuid);
    const answer = frames.received.find(({ uuid }) => uuid === call.uuid);
    assert.equal(answer?.code, "cancelled");
    assert.equal(frames.sent.filter(({ rpc, req }) => rpc === "echo" && req === 1).length, 0, "sent although aborted");
  });

  test("is also stopped by its time limit", limit, async (t) => {
    const server = await playground(t);
    const place = await realm(t, "esm");
    const frames = framesOf(place.page);
    await place.run("api.mjs", "aCallEndsWithItsTimeout", { host: server.origin });
    const call = frames.sent.find(({ rpc }) => rpc === "slow");
    const answer = frames.received.find(({ uuid }) => uuid === call.uuid);
    assert.ok(["cancelled", "timeout"].includes(answer?.code), JSON.stringify(answer));
  });
});

/** The messages of a page's WebSockets, parsed. */
function framesOf(page) {
  const frames = { sent: [], received: [] };
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => frames.sent.push(JSON.parse(payload)));
    socket.on("framereceived", ({ payload }) => frames.received.push(JSON.parse(payload)));
  });
  return frames;
}
