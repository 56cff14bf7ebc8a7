// One-time tokens in the handshake's query, at the main namespace. These want a
// gateway with one site.

import assert from "node:assert/strict";
import { waiting } from "../waiting.mjs";

async function issue(world) {
  const query = `token=${world.token([world.user, world.room])}`;
  const answer = await fetch(`${world.gateway}/user/sockettoken?${query}`);
  assert.equal(answer.status, 200, await answer.clone().text());
  const { token } = await answer.json();
  assert.equal(typeof token, "string");
  return token;
}

export async function a_socket_token_is_good_once(world) {
  const token = await issue(world);
  const client = await world.join({ token }, { namespace: "" });
  await world.send([world.user], "e", [1]);
  const { args, ack } = await client.next();
  assert.deepEqual(args, [1]);
  ack();

  const again = world.open({ token }, { namespace: "", reconnection: false });
  assert.equal(await again.refused(), "INVALID_TOKEN");
  const refusedAt = performance.now();
  const engine = again.socket.io.engine;
  if (engine.readyState !== "closed") {
    await waiting("the connection to be ended", new Promise((resolve) => engine.once("close", resolve)));
  }
  assert.ok(performance.now() - refusedAt < 1500, "it was ended late");
  await world.nothingBefore(client);
}

export async function an_unknown_socket_token_is_refused(world) {
  for (const query of [{ token: "made-up" }, { token: "" }]) {
    const client = world.open(query, { namespace: "", reconnection: false });
    assert.equal(await client.refused(), "INVALID_TOKEN");
  }
}
