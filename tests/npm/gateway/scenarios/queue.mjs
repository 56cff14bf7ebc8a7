// What waits for a device that is away or does not acknowledge.

import assert from "node:assert/strict";
import { until } from "../waiting.mjs";

/** Leaves, so that the gateway knows it before anything else happens. */
async function leave(world, client) {
  client.stop();
  const gone = async () => (await world.asked(client.token)).some((one) => one.body?.user?.last_disconnected);
  await until("the user has left", gone);
}

export async function what_came_meanwhile_is_one_batch_in_order(world) {
  await leave(world, await world.join());
  await world.send([world.user], "f", [1, { a: 1 }]);
  await world.send([world.room], "e", []);
  await world.send([world.user], "f", [3]);
  await world.send([world.user], "e", ["four"]);
  const client = await world.join();
  const { event, args, ack } = await client.next();
  assert.equal(event, "_batch");
  assert.deepEqual(args, [[["f", 1, { a: 1 }], ["e"], ["f", 3], ["e", "four"]]]);
  ack();
  await world.nothingBefore(client);
  await leave(world, client);
  await world.nothingBefore(await world.join());
}

export async function a_batch_that_is_not_acknowledged_comes_again(world) {
  await leave(world, await world.join());
  await world.send([world.user], "e", [1]);
  for (let time = 0; time < 2; time += 1) {
    const client = await world.join();
    const { event, args } = await client.next();
    assert.deepEqual([event, args], ["_batch", [[["e", 1]]]]);
    await leave(world, client);
  }
}

export async function what_is_not_acknowledged_comes_again(world) {
  const client = await world.join();
  await world.send([world.user], "e", [1]);
  await world.send([world.user], "e", [2]);
  await world.send([world.user], "f", [3]);
  await client.next();
  const second = await client.next();
  await client.next();
  second.ack();
  await world.nothingBefore(client);
  await leave(world, client);
  const again = await world.join();
  const { event, args } = await again.next();
  assert.deepEqual([event, args], ["_batch", [[["e", 1], ["f", 3]]]]);
}

export async function what_comes_behind_a_batch_is_not_in_its_acknowledgement(world) {
  await leave(world, await world.join());
  await world.send([world.user], "e", [1]);
  const client = await world.join();
  const batch = await client.next();
  assert.equal(batch.event, "_batch");
  await world.send([world.user], "e", [2]);
  batch.ack();
  const late = await client.next();
  assert.deepEqual([late.event, late.args], ["e", [2]]);
  await leave(world, client);
  const again = await world.join();
  const { event, args } = await again.next();
  assert.deepEqual([event, args], ["_batch", [[["e", 2]]]]);
}

export async function a_broken_connection_loses_nothing(world) {
  const client = await world.join({ deviceId: "d" });
  await world.send([world.user], "e", [1]);
  await client.next();
  client.breakOff();
  await client.closed();
  const settings = await client.next();
  assert.equal(settings.event, "_settings");
  const { event, args, ack } = await client.next();
  assert.deepEqual([event, args], ["_batch", [[["e", 1]]]]);
  ack();
  await world.nothingBefore(client);
}

export async function an_acknowledgement_out_of_order_is_a_resync(world) {
  const client = await world.join();
  await world.send([world.user], "e", [1], { resync: "true" });
  await world.send([world.user], "f", [2], { resync: "true" });
  await world.send([world.user], "e", [3], { resync: "true" });
  await world.send([world.user], "e", [4], { resync: "true" });
  const got = [await client.next(), await client.next(), await client.next(), await client.next()];
  // The first of `f` is the first of its event.
  got[1].ack();
  await world.nothingBefore(client);
  got[2].ack();
  const { event, args } = await client.next();
  assert.deepEqual([event, args], ["_resync", []]);
  await world.nothingBefore(client);
  await leave(world, client);
  // All of that event are gone.
  await world.nothingBefore(await world.join());
}

export async function without_resync_any_order_is_well(world) {
  for (const resync of ["false", undefined]) {
    const client = await world.join();
    const query = resync === undefined ? {} : { resync };
    await world.send([world.user], "e", [1], query);
    await world.send([world.user], "e", [2], query);
    const [first, second] = [await client.next(), await client.next()];
    second.ack();
    await world.nothingBefore(client);
    first.ack();
    await world.nothingBefore(client);
    await leave(world, client);
    const again = await world.join();
    await world.nothingBefore(again);
    await leave(world, again);
  }
}

export async function acknowledging_twice_is_once(world) {
  const client = await world.join();
  await world.send([world.user], "e", [1]);
  const { ack } = await client.next();
  ack();
  ack();
  await world.nothingBefore(client);
  await leave(world, client);
  await world.nothingBefore(await world.join());
}

export async function many_wait_in_order(world) {
  await leave(world, await world.join());
  for (let n = 0; n < 120; n += 1) await world.send([world.user], n % 2 ? "e" : "f", [n]);
  const client = await world.join();
  const { event, args, ack } = await client.next();
  assert.equal(event, "_batch");
  assert.deepEqual(args[0].map(([, n]) => n), Array.from({ length: 120 }, (_, n) => n));
  ack();
  await world.nothingBefore(client);
}
