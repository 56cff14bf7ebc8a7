// The class TokenSocket as its documentation describes it, against the server
// `playground`. Every scenario holds in every entry of the package.

import { answered, connected, ended, errorOf, readiness, Seen } from "./sockets.mjs";

export async function theConstructorReturnsAtOnceAndReadyComesOnce({ TokenSocket, assert, host }) {
  const socket = new TokenSocket({ host });
  const readies = [];
  socket.on("ready", (error) => readies.push(error));
  assert.isEmpty(readies, "nothing happens within the constructor");
  await readiness(socket);
  await socket.rpc("echo", 1);
  assert.lengthOf(readies, 1);
  assert.notExists(readies[0]);
  await ended(socket);
}

export async function callsMadeBeforeReadyAreAnsweredInTheirOrder({ TokenSocket, assert, host }) {
  const socket = new TokenSocket({ host });
  const order = [];
  const calls = [1, 2, 3].map((n) => socket.rpc("echo", n).then((value) => order.push(value)));
  await Promise.all(calls);
  assert.deepEqual(order, [1, 2, 3]);
  await ended(socket);
}

export async function callsAreAnsweredByPromise({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  assert.deepEqual(await socket.rpc("echo", { a: 1, b: [true, null] }), { a: 1, b: [true, null] });
  assert.deepEqual(await socket.rpc("something.nested", 5), { nested: 5 });
  await ended(socket);
}

export async function callsAreAnsweredByCallback({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  assert.deepEqual(await answered((done) => socket.rpc("echo", { a: 1 }, done)), { a: 1 });
  const error = await errorOf(answered((done) => socket.rpc("fail", null, done)));
  assert.equal(error.message, "boom");
  await ended(socket);
}

export async function authenticationReachesTheServer({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host, authentication: { user: "Zoë & co=1" } });
  assert.deepEqual(await socket.rpc("whoami"), { user: "Zoë & co=1" });
  await ended(socket);
}

export async function aFailedCallSaysWhatTheServerSaid({ TokenSocket, TokenSocketError, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  const object = await errorOf(socket.rpc("fail"));
  assert.instanceOf(object, TokenSocketError);
  assert.instanceOf(object, Error);
  assert.equal(object.message, "boom");
  assert.equal((await errorOf(socket.rpc("failstring"))).message, "plain failure");
  const unknown = await errorOf(socket.rpc("no.such.action"));
  assert.equal(unknown.message, "Function not found");
  assert.equal(unknown.code, "not_found");
  await ended(socket);
}

export async function aCallEndsWithItsTimeout({ TokenSocket, TokenSocketError, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  const error = await errorOf(socket.rpc("slow", { ms: 60_000 }, { timeout: 50 }));
  assert.instanceOf(error, TokenSocketError);
  assert.equal(error.code, "timeout");
  assert.equal(await socket.rpc("echo", "still here"), "still here");
  await ended(socket);
}

export async function aCallEndsWithItsSignal({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  const controller = new AbortController();
  const call = socket.rpc("slow", { ms: 60_000 }, { signal: controller.signal });
  await socket.rpc("echo", "the call is under way");
  controller.abort();
  const error = await errorOf(call);
  assert.include(["AbortError", "TokenSocketError"], error.name);
  const before = await errorOf(socket.rpc("echo", 1, { signal: AbortSignal.abort() }));
  assert.equal(before.name, error.name);
  assert.equal(await socket.rpc("echo", "still here"), "still here");
  await ended(socket);
}

export async function theServerCallsActionsOfEveryStyle({ TokenSocket, assert, host }) {
  const actions = {
    plain: (data) => ({ plain: data }),
    later: async (data) => ({ later: data }),
    callback: (data, answer) => answer(null, { callback: data }),
    nested: { deeper: { add: ({ a, b }) => a + b } },
  };
  const socket = await connected(TokenSocket, { host }, actions);
  const callMe = (command, args) => socket.rpc("callme", { command, args });
  assert.deepEqual(await callMe("plain", 1), { plain: 1 });
  assert.deepEqual(await callMe("later", 2), { later: 2 });
  assert.deepEqual(await callMe("callback", 3), { callback: 3 });
  assert.equal(await callMe("nested.deeper.add", { a: 2, b: 3 }), 5);
  await ended(socket);
}

export async function aFailingActionIsAnErrorAtTheServer({ TokenSocket, assert, host }) {
  const actions = {
    throws: () => {
      throw new Error("thrown");
    },
    rejects: async () => Promise.reject(new Error("rejected")),
    refuses: (_, answer) => answer("refused"),
  };
  const socket = await connected(TokenSocket, { host }, actions);
  const callMe = (command) => errorOf(socket.rpc("callme", { command }));
  assert.equal((await callMe("throws")).message, "thrown");
  assert.equal((await callMe("rejects")).message, "rejected");
  assert.equal((await callMe("refuses")).message, "refused");
  await ended(socket);
}

export async function onlyOwnPropertiesAreActions({ TokenSocket, assert, host }) {
  class Inherited {
    own = () => "own";
    method() {
      return "inherited";
    }
  }
  const socket = await connected(TokenSocket, { host }, { group: new Inherited() });
  const callMe = (command) => socket.rpc("callme", { command });
  assert.equal(await callMe("group.own"), "own");
  for (const name of ["toString", "constructor", "__proto__.toString", "group", "group.method", "missing"]) {
    const error = await errorOf(callMe(name));
    assert.equal(error.message, "Function not found", name);
  }
  await ended(socket);
}

export async function registeredActionsReplaceTheFirstOnes({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host }, { version: () => 1 });
  assert.equal(await socket.rpc("callme", { command: "version" }), 1);
  socket.register({ version: () => 2 });
  assert.equal(await socket.rpc("callme", { command: "version" }), 2);
  await ended(socket);
}

export async function messagesComeToEveryKindOfListener({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  const seen = new Seen();
  socket.onmessage((name, message) => seen.push({ by: "onmessage", name, message }));
  socket.on("message", (name, message) => seen.push({ by: "on", name, message }));
  const subscription = socket.subscribe(channel);
  await subscription.ready;
  const iterated = (async () => {
    for await (const message of subscription) {
      return message;
    }
  })();
  await socket.publish(channel, { hello: "world" });
  for (const by of ["onmessage", "on"]) {
    const item = await seen.find((entry) => entry.by === by);
    assert.deepEqual(item, { by, name: channel, message: { hello: "world" } });
  }
  assert.deepEqual(await iterated, { hello: "world" });
  await ended(socket);
}

export async function subscriptionsGoByCallbackAsBefore({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  await answered((done) => socket.subscribe(channel, done));
  assert.deepEqual(socket.channels(), [channel]);
  await answered((done) => socket.publish(channel, 1, done));
  await answered((done) => socket.broadcast(2, done));
  await answered((done) => socket.unsubscribe(channel, done));
  assert.deepEqual(socket.channels(), []);
  await ended(socket);
}

export async function aRefusedSubscriptionIsAnError({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  const error = await errorOf(socket.subscribe("forbidden fruit").ready);
  assert.equal(error.message, "Forbidden");
  assert.equal(error.code, "forbidden");
  const byCallback = await errorOf(answered((done) => socket.subscribe("forbidden too", done)));
  assert.equal(byCallback.message, "Forbidden");
  assert.equal((await errorOf(socket.publish("forbidden", 1))).code, "forbidden");
  assert.deepEqual(socket.channels(), []);
  await ended(socket);
}

export async function publicationsComeInOrderAndOnlyWhileSubscribed({ TokenSocket, assert, host, channel }) {
  const [publisher, reader] = await Promise.all([0, 1].map(() => connected(TokenSocket, { host })));
  const subscription = reader.subscribe(channel);
  await subscription.ready;
  const received = [];
  const reading = (async () => {
    for await (const message of subscription) {
      received.push(message);
      if (message === 99) {
        subscription.unsubscribe();
      }
    }
  })();
  for (let n = 0; n < 100; n += 1) {
    publisher.publish(channel, n);
  }
  await reading;
  assert.deepEqual(received, Array.from({ length: 100 }, (_, n) => n));
  const late = [];
  reader.onmessage((_, message) => late.push(message));
  await reader.rpc("echo", "the unsubscribe has arrived");
  await publisher.publish(channel, "unheard");
  await publisher.rpc("echo");
  await reader.rpc("echo");
  assert.isEmpty(late);
  await Promise.all([ended(publisher), ended(reader)]);
}

export async function aBroadcastReachesEachChannel({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  const seen = new Seen();
  socket.onmessage((name, message) => seen.push({ name, message }));
  await Promise.all([socket.subscribe(`${channel} 1`).ready, socket.subscribe(`${channel} 2`).ready]);
  await socket.broadcast({ for: channel });
  const isOurs = ({ message }) => message.for === channel;
  await seen.find(isOurs, 2);
  const names = seen.items.filter(isOurs).map(({ name }) => name);
  assert.sameMembers(names, [`${channel} 1`, `${channel} 2`]);
  await ended(socket);
}

export async function listenersCanBeRemoved({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  await socket.subscribe(channel).ready;
  const heard = [];
  const seen = new Seen();
  const byFunction = () => heard.push("by function");
  const off = socket.on("message", () => heard.push("by off"));
  socket.on("message", byFunction);
  socket.once("message", () => heard.push("once"));
  socket.on("message", (_, message) => seen.push(message));
  await socket.publish(channel, 1);
  await seen.find((message) => message === 1);
  assert.sameMembers(heard.splice(0), ["by function", "by off", "once"]);
  off();
  socket.removeListener("message", byFunction);
  await socket.publish(channel, 2);
  await seen.find((message) => message === 2);
  assert.isEmpty(heard);
  socket.removeAllListeners("message");
  const last = socket.subscribe(channel);
  await last.ready;
  const iterated = last[Symbol.asyncIterator]().next();
  await socket.publish(channel, 3);
  assert.equal((await iterated).value, 3);
  assert.notInclude(seen.items, 3);
  await ended(socket);
}

export async function theStateIsToldAsItChanges({ TokenSocket, assert, host }) {
  const socket = new TokenSocket({ host });
  const states = [];
  socket.on("state", (state) => states.push(state));
  await readiness(socket);
  await ended(socket);
  assert.deepEqual(states.filter((state) => state !== "connecting"), ["ready", "ended"]);
}

export async function endSettlesWhateverWaits({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  const subscription = socket.subscribe(channel);
  await subscription.ready;
  const iterated = subscription[Symbol.asyncIterator]().next();
  const call = errorOf(socket.rpc("slow", { ms: 60_000 }));
  const byCallback = errorOf(answered((done) => socket.rpc("slow", { ms: 60_000 }, done)));
  await ended(socket);
  assert.equal((await call).code, "ended");
  assert.equal((await byCallback).code, "ended");
  assert.isTrue((await iterated).done);
}

export async function callsAfterTheEndAreRefused({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  await ended(socket);
  assert.equal((await errorOf(socket.rpc("echo", 1))).code, "ended");
  assert.equal((await errorOf(socket.publish(channel, 1))).code, "ended");
  assert.equal((await errorOf(socket.subscribe(channel).ready)).code, "ended");
  await ended(socket);
}

export async function aSocketCanEndBeforeItIsReady({ TokenSocket, assert, host }) {
  const socket = new TokenSocket({ host });
  const call = errorOf(socket.rpc("echo", 1));
  await ended(socket);
  assert.equal((await call).code, "ended");
}

export async function twoSocketsKnowNothingOfEachOther({ TokenSocket, assert, host, channel }) {
  const users = ["ann", "bob"];
  const sockets = await Promise.all(
    users.map((user) => connected(TokenSocket, { host, authentication: { user } }, { name: () => user })),
  );
  await sockets[0].subscribe(channel).ready;
  for (const [index, socket] of sockets.entries()) {
    assert.deepEqual(await socket.rpc("whoami"), { user: users[index] });
    assert.equal(await socket.rpc("callme", { command: "name" }), users[index]);
  }
  assert.deepEqual(sockets[1].channels(), []);
  await ended(sockets[0]);
  assert.equal(await sockets[1].rpc("echo", "still here"), "still here");
  await ended(sockets[1]);
}
