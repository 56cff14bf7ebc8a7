// Who is let in, as whom, and what the site is asked and told.

import assert from "node:assert/strict";

export async function rooms_come_from_the_auth_url(world) {
  const client = await world.join();
  const [asked, ...others] = (await world.asked(client.token)).filter((one) => one.method === "GET");
  assert.deepEqual(others, [], "the site was asked more than once");
  assert.equal(asked.path, "/socketrooms");
  assert.equal(asked.authorization, `Bearer ${client.token}`);
  assert.equal(asked.meta, null, "X-META was sent without meta");
  for (const room of [world.user, world.room]) {
    await world.send([room], "e", [room]);
    const { event, args, ack } = await client.next();
    assert.deepEqual([event, args], ["e", [room]]);
    ack();
  }
}

export async function meta_travels_in_a_header(world) {
  const meta = '{"role":"a b"}';
  const client = await world.join({ meta });
  const [asked] = await world.asked(client.token);
  assert.equal(asked.meta, meta);
}

export async function settings_are_the_first_event(world) {
  const client = await world.open().connected();
  const { event, args } = await client.next();
  assert.equal(event, "_settings");
  assert.deepEqual(args, [{ device_ttl: 3600 }]);
  await world.nothingBefore(client);
}

export async function a_401_is_a_failed_authentication(world) {
  const client = world.open({ token: world.token({ status: 401 }) });
  assert.equal(await client.refused(), "Authentication failed");
}

export async function a_garbled_token_is_refused(world) {
  assert.equal(await world.open({ token: "é &=?#%" }).refused(), "Authentication failed");
}

export async function any_other_status_is_named(world) {
  const forbidden = world.open({ token: world.token({ status: 418 }) }, { namespace: "trouble" });
  assert.equal(await forbidden.refused(), "Auth 418 error");
}

export async function a_private_room_is_needed(world) {
  const client = world.open({ token: world.token([world.room]) });
  assert.equal(await client.refused(), "User is missing a private room");
}

export async function no_rooms_are_no_private_room(world) {
  assert.equal(await world.open({ token: world.token({ body: "[]" }) }).refused(), "User is missing a private room");
}

export async function the_public_channel_is_enough(world) {
  const client = await world.join({ token: world.token(["browse"]), deviceId: world.id });
  await world.send(["browse"], "e", [world.id]);
  for (;;) {
    // All runs at this moment share the channel.
    const { event, args } = await client.next();
    if (event === "e" && args[0] === world.id) return;
  }
}

export async function a_site_without_prefix_wants_no_private_room(world) {
  const client = await world.join({ token: world.token([world.room]) }, { namespace: "open" });
  await world.send([world.room], "e", [1, "two"], { site: "open", apiKey: "11111" });
  const { event, args } = await client.next();
  assert.deepEqual([event, args], ["e", [1, "two"]]);
}

export async function an_unknown_site_is_refused(world) {
  const refusal = await world.open({}, { namespace: "nosuchsite" }).refused();
  // Newer servers wrap it, for clients up to 2.x.
  assert.equal(refusal.message ?? refusal, "Invalid namespace");
}

export async function a_refusal_spares_the_others_on_the_connection(world) {
  const client = await world.join();
  const refused = client.socket.io.socket("/nosuchsite", {});
  refused.emit("an event", "to a namespace not joined");
  await world.nothingBefore(client);
  assert.equal(client.connects, 1);
}

export async function it_is_carried_as_asked(world) {
  const client = await world.join();
  if (world.transport === "upgrade") {
    await client.upgraded();
  }
  assert.equal(client.carrier(), world.transport === "polling" ? "polling" : "websocket");
  await world.nothingBefore(client);
}

export async function what_a_client_says_disturbs_nobody(world) {
  const client = await world.join();
  client.socket.emit("_batch", [["e"]]);
  client.socket.emit("anything", { a: [1, null] }, "x".repeat(10_000));
  client.socket.emit("binary", Buffer.from([0, 255]), "and text");
  client.socket.emit("asks", () => {});
  await world.nothingBefore(client);
  assert.equal(client.connects, 1);
}

export async function the_site_hears_of_the_first_tab_and_the_last(world) {
  const token = world.token([world.user]);
  const before = Date.now();
  const first = await world.join({ token });
  const second = await world.join({ token, deviceId: "2" });
  await world.untilAsked(token, "PUT", 1);
  first.stop();
  await world.nothingBefore(second);
  second.stop();
  const told = await world.untilAsked(token, "PUT", 2);
  assert.equal(told.length, 2, JSON.stringify(told));
  for (const [at, what] of [[0, "last_connected"], [1, "last_disconnected"]]) {
    assert.equal(told[at].path, `/users/${world.id}`);
    assert.equal(told[at].authorization, `Bearer ${token}`);
    assert.deepEqual(Object.keys(told[at].body), ["id", "user"]);
    assert.equal(told[at].body.id, world.id);
    assert.deepEqual(Object.keys(told[at].body.user), [what]);
    const time = told[at].body.user[what];
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(Date.parse(time) >= before - 1 && Date.parse(time) <= Date.now() + 1, time);
  }
}

export async function the_id_is_all_behind_the_prefix(world) {
  const token = world.token([`user_${world.id}_b_c`]);
  await world.join({ token });
  const [told] = await world.untilAsked(token, "PUT", 1);
  assert.deepEqual([told.path, told.body.id], [`/users/${world.id}_b_c`, `${world.id}_b_c`]);
}

export async function a_public_client_is_no_user(world) {
  const [anybody, somebody] = [world.token(["browse"]), world.token([world.user])];
  await world.join({ token: anybody });
  await world.join({ token: somebody });
  await world.untilAsked(somebody, "PUT", 1);
  const told = (await world.asked(anybody)).filter((one) => one.method === "PUT");
  assert.deepEqual(told, []);
}
