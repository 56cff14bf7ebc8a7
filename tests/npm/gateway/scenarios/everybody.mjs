// One delivery, whatever the client speaks. Whoever starts these has clients of
// other kinds for the same user, sends when asked to, and answers when they have it.

import assert from "node:assert/strict";

export async function one_delivery_reaches_every_kind(world) {
  const client = await world.join({ deviceId: "socket.io" }, { events: ["order", "news", "barrier"] });
  await world.ask(`deliver ${world.id} ${client.token}`);
  const delivered = await client.next();
  assert.deepEqual([delivered.event, delivered.args], ["order", [world.id, { n: 1, text: "ü" }]]);
  delivered.ack();

  await world.ask(`emit ${world.id}`);
  const emitted = await client.next();
  assert.deepEqual([emitted.event, emitted.args], ["news", [{ a: [1, null] }]]);

  await world.ask(`everyone ${world.id}`);
  for (;;) {
    // Every run asks for one of these.
    const { event, args } = await client.next();
    assert.equal(event, "news");
    if (args[0] === world.id) break;
  }

  const gone = client.closed();
  await world.ask(`disconnect ${world.id}`);
  await gone;
}
// What 1.x reads where it polls is ASCII.
one_delivery_reaches_every_kind.not = (generation, transport) =>
  generation === "1.7" && transport !== "websocket" && "1.x reads text otherwise in polling";
