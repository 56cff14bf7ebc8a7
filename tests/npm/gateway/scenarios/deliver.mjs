// Who gets what, how often, and in which order.

import assert from "node:assert/strict";

export async function shared_rooms_match_whatever_their_case(world) {
  const client = await world.join({ token: world.token([world.user, `Staff_${world.id}`]) });
  for (const room of [`staff_${world.id}`, `STAFF_${world.id.toUpperCase()}`]) {
    await world.send([room], "e", [room]);
    const { args, ack } = await client.next();
    assert.deepEqual(args, [room]);
    ack();
  }
}

export async function user_rooms_are_exact(world) {
  const lower = await world.join({ token: world.token([`user_${world.id}_x`]) });
  const upper = await world.join({ token: world.token([`user_${world.id}_X`]) });
  await world.send([`user_${world.id}_X`], "e", [1]);
  assert.deepEqual((await upper.next()).args, [1]);
  await world.nothingBefore(lower, `user_${world.id}_x`);
}

export async function several_rooms_reach_each_device_once(world) {
  const client = await world.join();
  const other = await world.join({ token: world.token([`${world.user}2`, world.room]) });
  await world.send([world.user, world.room, world.room.toUpperCase(), world.user], "e", [1]);
  for (const one of [client, other]) {
    const { args, ack } = await one.next();
    assert.deepEqual(args, [1]);
    ack();
  }
  await world.nothingBefore(client);
  await world.nothingBefore(other, `${world.user}2`);
}

export async function others_get_nothing(world) {
  const other = await world.join({ token: world.token([`${world.user}2`, `${world.room}2`]) });
  await world.send([world.user, world.room], "e", [1]);
  await world.nothingBefore(other, `${world.user}2`);
}

export async function messages_arrive_in_order(world) {
  const client = await world.join();
  for (let n = 0; n < 60; n += 1) {
    await world.send([n % 2 ? world.user : world.room], n % 3 ? "e" : "f", [n]);
  }
  for (let n = 0; n < 60; n += 1) {
    const { event, args, ack } = await client.next();
    assert.deepEqual([event, args], [n % 3 ? "e" : "f", [n]]);
    ack();
  }
  await world.nothingBefore(client);
}

export async function messages_survive_the_upgrade(world) {
  const client = world.open();
  await client.connected();
  await client.next();
  for (let n = 0; n < 40; n += 1) await world.send([world.user], "e", [n]);
  for (let n = 0; n < 40; n += 1) {
    const { args, ack } = await client.next();
    assert.deepEqual(args, [n]);
    ack();
  }
  await client.upgraded();
  await world.nothingBefore(client);
  client.stop();
  await world.nothingBefore(await world.join());
}
messages_survive_the_upgrade.not = (_, transport) => transport !== "upgrade" && "there is no upgrade";

export async function large_messages_arrive_whole(world) {
  const client = await world.join();
  const large = "0123456789".repeat(9_000);
  for (let n = 0; n < 5; n += 1) await world.send([world.user], "e", [n, large]);
  for (let n = 0; n < 5; n += 1) {
    const { args, ack } = await client.next();
    assert.deepEqual([args[0], args[1].length], [n, large.length]);
    ack();
  }
}

export async function each_device_has_its_own(world) {
  const [phone, tablet] = [await world.join({ deviceId: "phone" }), await world.join({ deviceId: "tablet" })];
  await world.send([world.user], "e", [1]);
  const [one, two] = [await phone.next(), await tablet.next()];
  assert.deepEqual([one.args, two.args], [[1], [1]]);
  one.ack();
  await world.nothingBefore(phone);
  tablet.stop();
  phone.stop();
  // One acknowledged, the other did not.
  await world.nothingBefore(await world.join({ deviceId: "phone" }));
  const again = await world.join({ deviceId: "tablet" });
  const { event, args } = await again.next();
  assert.deepEqual([event, args[0].filter(([name]) => name === "e")], ["_batch", [["e", 1]]], JSON.stringify(args));
}

export async function nothing_crosses_between_sites(world) {
  const here = await world.join();
  const token = world.token([world.user, world.room]);
  const there = await world.join({ token }, { namespace: "site2" });
  assert.equal((await world.asked(token))[0].path, "/socketrooms2");
  await world.send([world.user, world.room], "e", ["here"]);
  await world.send([world.user, world.room], "e", ["there"], { site: "site2", apiKey: "98765" });
  assert.deepEqual((await here.next()).args, ["here"]);
  assert.deepEqual((await there.next()).args, ["there"]);
  await world.nothingBefore(here);
  await world.nothingBefore(there, world.user, { site: "site2", apiKey: "98765" });
}

export async function two_sites_share_a_connection(world) {
  const here = await world.join();
  // Up to 2.x each namespace has a query of its own; in 4.x the handshake's counts.
  const there = here.socket.io.socket("/site2", { query: `token=${here.token}` });
  const got = new Promise((resolve, reject) => {
    there.on("e", (...args) => resolve(args.slice(0, 1)));
    there.on("error", reject);
    there.on("connect_error", reject);
  });
  await new Promise((resolve, reject) => {
    there.on("_settings", resolve);
    got.catch(reject);
  });
  await world.send([world.user], "e", ["there"], { site: "site2", apiKey: "98765" });
  assert.deepEqual(await got, ["there"]);
  await world.nothingBefore(here);
}
