// Two gateways that share an engine are one. These want `--other`, the address of
// the second.

import assert from "node:assert/strict";

import { until } from "../waiting.mjs";

export async function a_send_at_one_gateway_reaches_clients_of_another(world) {
  const { other } = world;
  const here = await world.join({ deviceId: "here" });
  const there = await world.join({ deviceId: "there" }, { gateway: other });
  for (const gateway of [other, world.gateway]) {
    await world.send([world.user], "e", [gateway, { n: 1 }], {}, gateway);
    for (const client of [here, there]) {
      const { event, args, ack } = await client.next();
      assert.deepEqual([event, args], ["e", [gateway, { n: 1 }]]);
      ack();
    }
  }
  await world.send([world.room], "f", ["both"], {}, other);
  for (const client of [here, there]) {
    const { event, args, ack } = await client.next();
    assert.deepEqual([event, args], ["f", ["both"]]);
    ack();
  }
}

export async function what_waits_for_a_device_comes_wherever_it_connects(world) {
  const { other } = world;
  const first = await world.join({ deviceId: "phone" });
  first.stop();
  for (let n = 1; n <= 5; n += 1) await world.send([world.user], n % 2 ? "e" : "f", [n], {}, n % 2 ? other : world.gateway);
  const again = await world.join({ deviceId: "phone" }, { gateway: other });
  const seen = [];
  while (seen.length < 5) {
    const { event, args, ack } = await again.next();
    // What was sent before the first was known to be gone may come by itself.
    seen.push(...(event === "_batch" ? args[0] : [[event, ...args]]));
    ack();
  }
  assert.deepEqual(seen, [["e", 1], ["f", 2], ["e", 3], ["f", 4], ["e", 5]]);
  // It was acknowledged for all nodes, as soon as the other has it from its client.
  await again.flushed();
  again.stop();
  await until("nothing comes again", async () => {
    const back = await world.join({ deviceId: "phone" });
    await world.send([world.user], "barrier", ["mark"]);
    const { event, args } = await back.next();
    // Not acknowledged: it would be this that counts.
    back.stop();
    return (event === "_batch" ? args[0] : [[event]]).every(([name]) => name === "barrier");
  });
}
