// Deliveries to devices: each is handled once, whatever becomes of connections.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { freshContext } from "../harness/chromium.mjs";
import { playground } from "../harness/program.mjs";
import { network } from "../harness/proxy.mjs";
import { ENTRIES, packageSite, PageRealm, realm } from "../harness/realm.mjs";
import { sentence } from "../harness/sentence.mjs";

const FILE = "deliveries.mjs";
const limit = { timeout: 30_000 };
const NAMES = [
  "whatCameWhileADeviceWasAwayComesInOneBatch",
  "aSocketWithoutANamedDeviceLosesNothingWithItsConnection",
  "aLostAcknowledgementHandsNothingOverTwice",
  "handlersRunOneAfterTheOtherInTheServersOrder",
  "byHandADeliveryIsAcknowledgedOrGivenBack",
  "aResyncIsTold",
  "aRoomsMessageReachesWhoIsInIt",
];

/** Runs a scenario by a network that does as it says. */
async function run(t, entry, name) {
  const server = await playground(t);
  const wire = await network(t, server.port);
  const place = await realm(t, entry);
  await place.run(FILE, name, { host: wire.origin, direct: server.origin, user: "ann" }, {
    "the network goes": () => wire.cut(),
    "the network comes": () => wire.restore(),
    "the network falls silent": () => wire.silence(),
    "the network is cut and back": () => {
      wire.cut();
      wire.restore();
    },
  });
  return place;
}

for (const entry of ENTRIES) {
  describe(`deliveries (${entry})`, () => {
    for (const name of NAMES) {
      test(sentence(name), limit, async (t) => {
        await run(t, entry, name);
      });
    }
  });
}

describe("deliveries to pages", () => {
  test("a handler that fails is given it again, and its error is not hidden", limit, async (t) => {
    const place = await run(t, "esm", "aHandlerThatFailsIsGivenItAgain");
    assert.deepEqual(place.uncaught.map(({ message }) => message), ["not now"]);
    place.uncaught = [];
  });

  test("two tabs of one device: both handle what comes, and what one handled is done", limit, async (t) => {
    const server = await playground(t);
    const context = await freshContext(t);
    const served = await packageSite(t);
    const open = () => PageRealm.opened(t, context, `${served.origin}/pages/esm.html`);
    const input = { host: server.origin, user: "ann" };
    const tab = async () => {
      const place = await open();
      await place.run(FILE, "opensATab", input);
      return place;
    };
    const sender = await open();
    const deliver = (...args) => sender.run(FILE, "delivers", { ...input, args });
    const handled = (place, n) => place.run(FILE, "hasHandled", { n });

    const [one, two] = [await tab(), await tab()];
    assert.equal(await deliver(1), 1, "they are one device");
    for (const place of [one, two]) {
      assert.deepEqual(await handled(place, 1), { handled: [1], batches: [] });
    }
    await two.page.close();
    assert.equal(await deliver(2), 1);
    assert.deepEqual(await handled(one, 2), { handled: [1, 2], batches: [] });
    await one.page.close();
    assert.equal(await deliver(3), 1);
    const three = await tab();
    assert.deepEqual(await handled(three, 3), { handled: [3], batches: [1] });
  });
});
