// What a socket does when its connection is lost, told stage by stage.

import { connected, ended, errorOf, Seen } from "./sockets.mjs";

/** A socket with a memory, following one channel. */
async function following(TokenSocket, channel, options, actions) {
  const socket = await connected(TokenSocket, options, actions);
  const reconnects = new Seen();
  const messages = new Seen();
  const states = new Seen();
  socket.onreconnect((error) => reconnects.push(error));
  socket.onmessage((name, message) => messages.push(message));
  socket.on("state", (state) => states.push(state));
  await socket.subscribe(channel).ready;
  return { socket, reconnects, messages, states };
}

const success = (error) => !error;

export async function comesBackWhenTheServerRestarts({ TokenSocket, assert, stage, host, channel }) {
  const actions = { name: () => "same page" };
  const { socket, reconnects, messages, states } = await following(TokenSocket, channel, { host }, actions);
  const inFlight = errorOf(socket.rpc("slow", { ms: 60_000 }));
  await stage("the server stops");
  await states.find((state) => state !== "ready");
  assert.equal((await inFlight).code, "disconnected");
  const queued = [1, 2, 3].map((n) => socket.rpc("echo", n));
  socket.publish(channel, "published while away");
  await stage("the server starts");
  await reconnects.find(success);
  assert.deepEqual(await Promise.all(queued), [1, 2, 3]);
  assert.equal(await messages.find(() => true), "published while away");
  assert.deepEqual(socket.channels(), [channel]);
  assert.equal(await socket.rpc("callme", { command: "name" }), "same page");
  await ended(socket);
}

export async function anIterationGoesOnAfterAReconnect({ TokenSocket, assert, stage, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  const reconnects = new Seen();
  socket.onreconnect((error) => reconnects.push(error));
  const subscription = socket.subscribe(channel);
  await subscription.ready;
  const messages = subscription[Symbol.asyncIterator]();
  await socket.publish(channel, 1);
  assert.equal((await messages.next()).value, 1);
  await stage("the server restarts");
  await reconnects.find(success);
  await socket.publish(channel, 2);
  assert.equal((await messages.next()).value, 2);
  await ended(socket);
}

export async function withoutReconnectALostConnectionIsTheEnd({ TokenSocket, assert, stage, host, channel }) {
  const { socket, states } = await following(TokenSocket, channel, { host, reconnect: false });
  const iterated = socket.subscribe(channel)[Symbol.asyncIterator]().next();
  const inFlight = errorOf(socket.rpc("slow", { ms: 60_000 }));
  await stage("the server stops");
  await states.find((state) => state === "ended");
  assert.include(["disconnected", "ended"], (await inFlight).code);
  assert.isTrue((await iterated).done);
  assert.equal((await errorOf(socket.rpc("echo", 1))).code, "ended");
  await ended(socket);
}

export async function comesBackWhenTheServerDropsTheConnection({ TokenSocket, assert, host, channel }) {
  const { socket, reconnects, messages } = await following(TokenSocket, channel, { host });
  for (let time = 1; time <= 3; time += 1) {
    await socket.rpc("dropme").catch(() => {});
    await reconnects.find(success, time);
    await socket.publish(channel, time);
    await messages.find((message) => message === time);
  }
  assert.lengthOf(reconnects.items.filter(success), 3);
  await ended(socket);
}

/** Nothing comes and nobody says so: pings notice. */
export async function aSilentNetworkIsNoticed({ TokenSocket, assert, stage, host, channel }) {
  const options = { host, ping: 200, pongTimeout: 2000 };
  const { socket, reconnects, states } = await following(TokenSocket, channel, options);
  await stage("the network falls silent");
  await states.find((state) => state !== "ready");
  await stage("the network is back");
  await reconnects.find(success);
  assert.equal(await socket.rpc("echo", "back"), "back");
  await ended(socket);
}

/**
 * The network goes and comes. With hints of the page the socket comes back at
 * once; the limits here are far longer than the test may take.
 */
export async function theBrowsersHintsBringItBack({ TokenSocket, assert, stage, host, channel }) {
  const options = { host, ping: 3_600_000, pongTimeout: 1000, connectTimeout: 3_600_000 };
  const { socket, reconnects, messages, states } = await following(TokenSocket, channel, options);
  await stage("the network goes");
  const queued = socket.rpc("echo", "queued or in flight").catch((error) => error.code);
  await stage("the network comes");
  await states.find((state) => state !== "ready");
  await reconnects.find(success);
  assert.include(["queued or in flight", "disconnected"], await queued);
  await socket.publish(channel, "heard again");
  await messages.find((message) => message === "heard again");
  await ended(socket);
}

/** A socket whose next attempt is seconds away tries at once when the page says that it is worth it. */
export async function aHintEndsALongWait({ TokenSocket, assert, stage, host, channel }) {
  const { socket, reconnects } = await following(TokenSocket, channel, { host });
  await stage("the server stops");
  // 10, 50, 250, 1250 and 5000 ms: after the fifth failure the wait is at its longest.
  await reconnects.find((error) => error, 5);
  const failures = reconnects.items.length;
  await stage("the server is there again and the page is woken");
  const begun = performance.now();
  await reconnects.find(success);
  const took = performance.now() - begun;
  assert.isBelow(took, 2000, "the wait would have been 5 s");
  assert.isAtMost(reconnects.items.length, failures + 2);
  await ended(socket);
}
