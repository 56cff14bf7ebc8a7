// What the server delivers to a user's devices and keeps until it is
// acknowledged. Against the server `playground`, whose action `deliver` does it.

import { connected, ended, Seen } from "./sockets.mjs";

/** A socket of a user, maybe on a named device, with a memory of what it is told and what it handles. */
async function device(TokenSocket, host, user, options, handle) {
  const socket = new TokenSocket({ host, authentication: { user }, ...options });
  const told = new Seen();
  const handled = new Seen();
  for (const event of ["settings", "batch", "reconnect"]) socket.on(event, (value) => told.push([event, value]));
  socket.onDelivery("order", async (...args) => {
    await handle?.(...args);
    handled.push(args);
  });
  await socket.ready();
  const [, settings] = await told.find(([event]) => event === "settings");
  return { socket, told, handled, settings };
}

/** For how many devices it is kept. */
async function deliver(socket, user, event, args, more) {
  return (await socket.rpc("deliver", { users: [user], event, args, ...more })).devices;
}
const success = ([event, error]) => event === "reconnect" && !error;
const batches = (told) => told.items.filter(([event]) => event === "batch").map(([, count]) => count);

/** Resolves once the server has the acknowledgements of what was handled: they leave with the handlers' promises. */
async function acknowledged(socket) {
  await new Promise((resolve) => setTimeout(resolve));
  await socket.rpc("echo");
}

export async function whatCameWhileADeviceWasAwayComesInOneBatch({ TokenSocket, assert, host, user }) {
  const named = { device: "the kitchen" };
  const sender = await connected(TokenSocket, { host });
  const first = await device(TokenSocket, host, user, named);
  assert.deepEqual(first.settings, { device: "the kitchen", deviceTtl: 3_600_000, resumed: false });
  assert.equal(await deliver(sender, user, "order", [1, { live: true }]), 1);
  assert.deepEqual(await first.handled.find(() => true), [1, { live: true }]);
  await acknowledged(first.socket);
  await ended(first.socket);

  for (const n of [2, 3, 4]) assert.equal(await deliver(sender, user, "order", [n]), 1);
  const second = await device(TokenSocket, host, user, named);
  assert.isTrue(second.settings.resumed);
  await second.handled.find(([n]) => n === 4);
  assert.deepEqual(second.handled.items, [[2], [3], [4]]);
  assert.deepEqual(batches(second.told), [3]);
  await acknowledged(second.socket);
  await ended(second.socket);

  const third = await device(TokenSocket, host, user, named);
  await deliver(sender, user, "order", [5]);
  await third.handled.find(([n]) => n === 5);
  assert.deepEqual([third.handled.items, batches(third.told)], [[[5]], []]);
  await Promise.all([ended(third.socket), ended(sender)]);
}

export async function aSocketWithoutANamedDeviceLosesNothingWithItsConnection({ TokenSocket, assert, stage, host, direct, user }) {
  const sender = await connected(TokenSocket, { host: direct });
  const { socket, told, handled, settings } = await device(TokenSocket, host, user);
  await stage("the network goes");
  for (const n of [1, 2]) await deliver(sender, user, "order", [n]);
  await stage("the network comes");
  await handled.find(([n]) => n === 2);
  assert.deepEqual([handled.items, batches(told)], [[[1], [2]], [2]]);
  const last = told.items.findLast(([event]) => event === "settings")[1];
  assert.deepEqual(last, { ...settings, resumed: true });
  await Promise.all([ended(socket), ended(sender)]);
}

/** The handler is done, and the server never hears of it before the connection is gone. */
export async function aLostAcknowledgementHandsNothingOverTwice({ TokenSocket, assert, stage, host, direct, user }) {
  const sender = await connected(TokenSocket, { host: direct });
  const named = { device: "lost" };
  const { socket, told, handled } = await device(TokenSocket, host, user, named, () => stage("the network falls silent"));
  await deliver(sender, user, "order", [1]);
  await handled.find(() => true);
  // The acknowledgement leaves with the handler's promise.
  await new Promise((resolve) => setTimeout(resolve));
  await stage("the network is cut and back");
  await told.find(success);
  assert.deepEqual(batches(await untilBatch(told)), [0], "it came again, and was known");
  assert.deepEqual(handled.items, [[1]]);
  await acknowledged(socket);
  await ended(socket);
  const next = await device(TokenSocket, host, user, named);
  await deliver(sender, user, "order", [2]);
  await next.handled.find(([n]) => n === 2);
  assert.deepEqual([next.handled.items, batches(next.told)], [[[2]], []]);
  await Promise.all([ended(next.socket), ended(sender)]);
}

async function untilBatch(told) {
  await told.find(([event]) => event === "batch");
  return told;
}

export async function handlersRunOneAfterTheOtherInTheServersOrder({ TokenSocket, assert, host, user }) {
  const sender = await connected(TokenSocket, { host });
  let running = 0;
  const { socket, handled } = await device(TokenSocket, host, user, {}, async (n) => {
    running += 1;
    assert.equal(running, 1);
    await new Promise((resolve) => setTimeout(resolve, 20 - 5 * n));
    running -= 1;
  });
  for (const n of [1, 2]) await deliver(sender, user, "order", [n]);
  await deliver(sender, user, "unheard", ["later"]);
  await deliver(sender, user, "order", [3]);
  await handled.find(([n]) => n === 3);
  assert.deepEqual(handled.items, [[1], [2], [3]]);
  const late = new Promise((resolve) => socket.onDelivery("unheard", resolve));
  assert.equal(await late, "later", "what has no handler waits for one, and holds up nobody");
  await Promise.all([ended(socket), ended(sender)]);
}

export async function byHandADeliveryIsAcknowledgedOrGivenBack({ TokenSocket, assert, stage, host, direct, user }) {
  const sender = await connected(TokenSocket, { host: direct });
  const { socket, told } = await device(TokenSocket, host, user);
  const seen = new Seen();
  const stop = socket.onDeliveryByHand("task", (delivery) => seen.push(delivery));
  for (const n of [1, 2, 3]) await deliver(sender, user, "task", [n]);
  await seen.find(({ args }) => args[0] === 3);
  const [one, two, three] = seen.items;
  assert.equal(one.event, "task");
  one.acknowledge();
  three.giveBack();
  three.acknowledge();
  await stage("the network is cut and back");
  await told.find(success);
  await seen.find(({ args }) => args[0] === 3, 2);
  assert.deepEqual(seen.items.map(({ args }) => args[0]), [1, 2, 3, 3], "the second is still open");
  two.acknowledge();
  seen.items.at(-1).acknowledge();
  stop();
  socket.onDelivery("task", (n) => seen.push({ args: [n] }));
  await acknowledged(socket);
  await stage("the network is cut and back");
  await told.find(success, 2);
  await deliver(sender, user, "task", [4]);
  await seen.find(({ args }) => args[0] === 4);
  assert.lengthOf(seen.items, 5);
  await Promise.all([ended(socket), ended(sender)]);
}

/** Where order matters, an acknowledgement out of order voids the event's queue. */
export async function aResyncIsTold({ TokenSocket, assert, host, user }) {
  const sender = await connected(TokenSocket, { host });
  const { socket } = await device(TokenSocket, host, user, { device: "ordered" });
  const seen = new Seen();
  socket.onDeliveryByHand("step", (delivery) => seen.push(delivery));
  for (const n of [1, 2]) await deliver(sender, user, "step", [n], { resync: true });
  (await seen.find(({ args }) => args[0] === 2)).acknowledge();
  const resync = await new Promise((resolve) => socket.onResync((...told) => resolve(told)));
  assert.deepEqual(resync, ["step", "order"]);
  await acknowledged(socket);
  await ended(socket);
  const next = await device(TokenSocket, host, user, { device: "ordered" });
  next.socket.onResync(() => next.handled.push("told again"));
  await deliver(sender, user, "order", [1]);
  await next.handled.find(([n]) => n === 1);
  assert.deepEqual(next.handled.items, [[1]]);
  await Promise.all([ended(next.socket), ended(sender)]);
}

export async function aRoomsMessageReachesWhoIsInIt({ TokenSocket, assert, host, user }) {
  const sender = await connected(TokenSocket, { host });
  const authentication = { user, room: "lobby" };
  const inside = await device(TokenSocket, host, user, { device: "d", authentication });
  await ended(inside.socket);
  const toTheRoom = { room: "lobby", event: "order", args: ["to the room"], key: user };
  assert.deepEqual(await sender.rpc("deliver", toTheRoom), { devices: 1, duplicate: false });
  assert.deepEqual(await sender.rpc("deliver", toTheRoom), { devices: 0, duplicate: true });
  const back = await device(TokenSocket, host, user, { device: "d", authentication });
  assert.deepEqual(await back.handled.find(() => true), ["to the room"]);
  await Promise.all([ended(back.socket), ended(sender)]);
}

/** A tab of a device that several have. It stays, and the page remembers what it handled. */
export async function opensATab({ TokenSocket, host, user }) {
  globalThis.tab = await device(TokenSocket, host, user, { device: "shared by tabs" });
}

export async function delivers({ TokenSocket, host, user, args }) {
  const sender = await connected(TokenSocket, { host });
  const devices = await deliver(sender, user, "order", args);
  await ended(sender);
  return devices;
}

/** What the tab has handled, once the last of it is `n`. */
export async function hasHandled({ n }) {
  await globalThis.tab.handled.find(([last]) => last === n);
  await acknowledged(globalThis.tab.socket);
  return { handled: globalThis.tab.handled.items.flat(), batches: batches(globalThis.tab.told) };
}

/** Its handler fails the first time. */
export async function aHandlerThatFailsIsGivenItAgain({ TokenSocket, assert, stage, host, direct, user }) {
  const sender = await connected(TokenSocket, { host: direct });
  let times = 0;
  const { socket, handled } = await device(TokenSocket, host, user, {}, () => {
    times += 1;
    if (times === 1) throw new Error("not now");
  });
  await deliver(sender, user, "order", [1]);
  await deliver(sender, user, "order", [2]);
  await handled.find(([n]) => n === 2);
  await stage("the network is cut and back");
  await handled.find(([n]) => n === 1);
  assert.deepEqual(handled.items, [[2], [1]]);
  await Promise.all([ended(socket), ended(sender)]);
}
