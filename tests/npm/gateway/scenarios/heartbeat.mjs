// Connections where nothing happens. These want a gateway that asks for signs of
// life several times a second.

import assert from "node:assert/strict";
import { waiting } from "../waiting.mjs";

export async function an_idle_client_stays(world) {
  const client = await world.join();
  if (world.transport === "upgrade") await client.upgraded();
  const engine = client.socket.io.engine;
  // The server asks in 4.x, the client before.
  const sign = client.legacy ? "pong" : "ping";
  for (let n = 0; n < 5; n += 1) {
    await waiting("a sign of life", new Promise((resolve) => engine.once(sign, resolve)));
  }
  await world.nothingBefore(client);
  assert.equal(client.connects, 1);
}

export async function a_client_that_falls_silent_is_let_go(world) {
  const token = world.token([world.user]);
  const client = await world.join({ token }, { reconnection: false });
  if (world.transport === "upgrade") await client.upgraded();
  // From now on it says nothing, though its connection is whole.
  client.socket.io.engine.transport.write = () => {};
  client.socket.io.engine.sendPacket = () => {};
  const told = await world.untilAsked(token, "PUT", 2);
  assert.ok(told[1].body.user.last_disconnected, JSON.stringify(told));
}
