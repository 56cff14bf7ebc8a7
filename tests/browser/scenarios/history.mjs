// Channels that keep what was published: what a socket gets after it was away,
// and what it may ask for. Against the server `playground`.

import { connected, ended, errorOf, Seen } from "./sockets.mjs";

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** A socket with a memory, following a channel. */
async function following(TokenSocket, host, channel, options) {
  const socket = await connected(TokenSocket, { host });
  const seen = { messages: new Seen(), reconnects: new Seen(), events: new Seen() };
  socket.onmessage((_, message) => seen.messages.push(message));
  socket.onreconnect((error) => seen.reconnects.push(error));
  for (const event of ["recovered", "unrecovered"]) {
    socket.on(event, (name) => seen.events.push([event, name]));
  }
  const subscription = socket.subscribe(channel, options);
  await subscription.ready;
  return { socket, subscription, ...seen };
}

async function publishEach(socket, channel, messages) {
  for (const message of messages) {
    await socket.publish(channel, message);
  }
}

/** The connection is cut again and again while somebody publishes without a pause. */
export async function everyMessageComesOnceInItsOrderThroughCuts({ TokenSocket, assert, stage, host, direct, channel }) {
  const follower = await following(TokenSocket, host, channel);
  const publisher = await connected(TokenSocket, { host: direct });
  const publishing = publishEach(publisher, channel, range(1, 600));
  for (const reached of [50, 150, 250, 350, 450]) {
    await follower.messages.find((message) => message >= reached);
    await stage("the network is cut and back");
  }
  await publishing;
  await follower.messages.find((message) => message === 600);
  assert.deepEqual(follower.messages.items, range(1, 600));
  assert.deepEqual(new Set(follower.events.items.map(([event]) => event)), new Set(["recovered"]));
  const read = [];
  for await (const message of follower.subscription) {
    read.push(message);
    if (message === 600) break;
  }
  assert.lengthOf(read, 600 - follower.subscription.missed);
  assert.deepEqual(read, range(600 - read.length + 1, 600));
  await ended(publisher);
  await ended(follower.socket);
}

/** More than a slow reader may otherwise have waiting is missed at once. */
export async function whatWasMissedReachesAReaderHoweverMuchItIs({ TokenSocket, assert, stage, host, direct, channel }) {
  const { socket, subscription, events } = await following(TokenSocket, host, channel);
  const publisher = await connected(TokenSocket, { host: direct });
  await stage("the network goes");
  await publishEach(publisher, channel, range(1, 400));
  await stage("the network comes");
  await events.find(([event]) => event === "recovered");
  await publisher.publish(channel, 401);
  const read = [];
  for await (const message of subscription) {
    read.push(message);
    if (message === 401) break;
  }
  assert.deepEqual(read, range(1, 401));
  assert.equal(subscription.missed, 0);
  await ended(publisher);
  await ended(socket);
}

/** The channel keeps three messages. */
export async function moreThanIsKeptIsToldAndNotMadeUpFor({ TokenSocket, assert, stage, host, direct, channel }) {
  const { socket, messages, events } = await following(TokenSocket, host, channel);
  const publisher = await connected(TokenSocket, { host: direct });
  await publisher.publish(channel, 0);
  await messages.find((message) => message === 0);
  const before = socket.position(channel);
  await stage("the network goes");
  await publishEach(publisher, channel, range(1, 10));
  await stage("the network comes");
  assert.deepEqual(await events.find(() => true), ["unrecovered", channel]);
  const page = await socket.history(channel, { since: before });
  assert.isTrue(page.gap);
  assert.deepEqual(page.publications.map(({ message }) => message), [8, 9, 10]);
  await publisher.publish(channel, 11);
  await messages.find((message) => message === 11);
  assert.deepEqual(messages.items, [0, 11]);
  assert.lengthOf(events.items, 1);
  await ended(publisher);
  await ended(socket);
}

/** The server keeps its channels in memory. */
export async function aServerThatBeganAnewIsToldApart({ TokenSocket, assert, stage, host, channel }) {
  const { socket, messages, events } = await following(TokenSocket, host, channel);
  await socket.publish(channel, "before");
  await messages.find((message) => message === "before");
  await stage("the server restarts");
  assert.deepEqual(await events.find(() => true), ["unrecovered", channel]);
  await socket.publish(channel, "after");
  await messages.find((message) => message === "after");
  assert.deepEqual(messages.items, ["before", "after"]);
  assert.equal(socket.position(channel).offset, 1);
  await ended(socket);
}

export async function historyIsReadInPages({ TokenSocket, assert, host, channel }) {
  const { socket } = await following(TokenSocket, host, channel);
  await publishEach(socket, channel, range(1, 5));
  const first = await socket.history(channel, { limit: 2 });
  assert.deepEqual(first.publications.map(({ message, offset }) => [message, offset]), [[1, 1], [2, 2]]);
  assert.deepEqual([first.more, first.gap, first.position.offset], [true, false, 5]);
  assert.isAbove(first.publications[0].at, 1.7e12);
  const since = { epoch: first.position.epoch, offset: 2 };
  const rest = await socket.history(channel, { since });
  assert.deepEqual([rest.publications.map(({ message }) => message), rest.more], [[3, 4, 5], false]);
  const latest = await new Promise((resolve, reject) =>
    socket.history(channel, { limit: 2, reverse: true }, (error, page) => (error ? reject(error) : resolve(page))),
  );
  assert.deepEqual(latest.publications.map(({ message }) => message), [5, 4]);
  assert.equal((await errorOf(socket.history(`${channel} of others`))).code, "forbidden");
  await ended(socket);
}

export async function aSubscriptionGoesOnFromAPlace({ TokenSocket, assert, host, channel }) {
  const first = await following(TokenSocket, host, channel);
  await publishEach(first.socket, channel, range(1, 3));
  await first.messages.find((message) => message === 3);
  const { epoch } = first.socket.position(channel);
  const second = await following(TokenSocket, host, channel, { since: { epoch, offset: 1 } });
  await second.messages.find((message) => message === 3);
  assert.deepEqual(second.messages.items, [2, 3]);
  assert.deepEqual(second.socket.position(channel), { epoch, offset: 3 });
  const third = await following(TokenSocket, host, channel, { since: { epoch: "another", offset: 1 } });
  assert.deepEqual(third.events.items, [["unrecovered", channel]]);
  const wrong = third.socket.subscribe(channel, { since: { epoch: "", offset: 1 } });
  assert.equal((await errorOf(wrong.ready)).code, "bad_request");
  await Promise.all([first, second, third].map(({ socket }) => ended(socket)));
}

export async function publishTellsThePlaceAndAKeyIsOneMessage({ TokenSocket, assert, host, channel }) {
  const { socket, messages } = await following(TokenSocket, host, channel);
  const first = await socket.publish(channel, 1, { key: "one" });
  assert.equal(first.position.offset, 1);
  assert.isFalse(first.duplicate);
  const again = await new Promise((resolve, reject) =>
    socket.publish(channel, 1, { key: "one" }, (error, result) => (error ? reject(error) : resolve(result))),
  );
  assert.deepEqual(again, { ...first, duplicate: true });
  assert.deepEqual((await socket.publish(channel, 2)).position, { ...first.position, offset: 2 });
  await messages.find((message) => message === 2);
  assert.deepEqual(messages.items, [1, 2]);
  assert.deepEqual(await socket.publish("keeps nothing", 1), { position: undefined, duplicate: false });
  assert.equal(socket.position("keeps nothing"), undefined);
  await ended(socket);
}

export async function aPatternReadsWhatItCovers({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  const named = new Seen();
  socket.onmessage((name, message) => named.push([name, message]));
  const all = socket.subscribe(`${channel}.>`);
  const one = socket.subscribe(`${channel}.a`);
  await Promise.all([all.ready, one.ready]);
  for (const [name, message] of [["a", 1], ["b.c", 2], ["a", 3]]) {
    await socket.publish(`${channel}.${name}`, message);
  }
  await named.find(([, message]) => message === 3);
  assert.deepEqual(named.items, [[`${channel}.a`, 1], [`${channel}.b.c`, 2], [`${channel}.a`, 3]]);
  const read = async (subscription, count) => {
    const messages = [];
    while (messages.length < count) messages.push((await subscription.next()).value);
    return messages;
  };
  assert.deepEqual(await read(all, 3), [1, 2, 3]);
  assert.deepEqual(await read(one, 2), [1, 3]);
  await ended(socket);
}

/** Follows in a page that is about to be loaded anew, and goes on where that one stood. */
export async function followsAcrossReloads({ TokenSocket, host, channel }) {
  const kept = JSON.parse(sessionStorage.getItem(channel) ?? '{"messages":[]}');
  const socket = await connected(TokenSocket, { host });
  const events = [];
  for (const event of ["recovered", "unrecovered"]) socket.on(event, () => events.push(event));
  socket.onmessage((_, message) => kept.messages.push(message));
  await socket.subscribe(channel, { since: kept.position }).ready;
  globalThis.followed = { ...kept, events };
  addEventListener("pagehide", () => {
    kept.position = socket.position(channel);
    sessionStorage.setItem(channel, JSON.stringify(kept));
  });
}

/** Publishes numbers until the test has seen enough, and gives the last one. */
export async function publishesUntilTold({ TokenSocket, stage, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  let enough = false;
  void stage("all reloads are done").then(() => (enough = true));
  let last = 0;
  while (!enough) {
    await socket.publish(channel, (last += 1));
    // At a rate by which the channel's thousand outlast the slowest reload.
    await new Promise((resolve) => setTimeout(resolve, 4));
  }
  await ended(socket);
  return last;
}
