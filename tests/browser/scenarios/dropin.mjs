// Our client in the place of the original one, against the original server. Its
// action `settled` answers once what was subscribed holds; it never answers a
// publish, broadcast or unsubscribe that it carried out.

import { answered, connected, ended, errorOf, readiness, Seen } from "./sockets.mjs";

export async function tokensAndCallsBothWays({ TokenSocket, assert, options }) {
  const actions = {
    greet: (name) => `hello ${name}`,
    deep: { er: { twice: (n, answer) => answer(null, n * 2) } },
    broken: async () => Promise.reject(new Error("page says no")),
  };
  const socket = await connected(TokenSocket, { ...options, authentication: { user: "zoë & co" } }, actions);
  assert.deepEqual(await socket.rpc("whoami", {}), { user: "zoë & co" });
  for (const value of [{ a: [1, { b: null }] }, "zwölf ☃ 😀", 0, false, null, "x".repeat(100_000)]) {
    assert.deepEqual(await socket.rpc("echo", value), value);
  }
  assert.deepEqual(await answered((done) => socket.rpc("something.nested", 1, done)), { nested: 1 });
  assert.equal((await errorOf(socket.rpc("fail", {}))).message, "boom");
  assert.equal((await errorOf(socket.rpc("failstring", {}))).message, "plain failure");
  assert.equal((await errorOf(socket.rpc("nothing", {}))).message, "Function not found");
  const callMe = (command, args = {}) => socket.rpc("callme", { command, args });
  assert.equal(await callMe("greet", "Ada"), "hello Ada");
  assert.equal(await callMe("deep.er.twice", 21), 42);
  assert.equal((await errorOf(callMe("broken"))).message, "page says no");
  assert.equal((await errorOf(callMe("nothing"))).message, "Function not found");
  assert.equal((await errorOf(socket.rpc("slow", { ms: 200 }, { timeout: 20 }))).code, "timeout");
  assert.deepEqual(await socket.rpc("slow", { ms: 201 }), { ms: 201 });
  await ended(socket);
}

export async function channelsAndPublications({ TokenSocket, assert, options, channel }) {
  const [socket, other] = await Promise.all([0, 1].map(() => connected(TokenSocket, options)));
  const seen = new Seen();
  other.onmessage((name, message) => seen.push({ name, message }));
  const own = socket.subscribe(channel);
  await Promise.all([own.ready, other.subscribe(channel).ready, other.subscribe(`${channel} 2`).ready]);
  await socket.rpc("settled", {});
  assert.deepEqual(other.channels(), [channel, `${channel} 2`]);
  const values = [{ object: [1] }, "ünï☃", true, null];
  for (const value of values) {
    await socket.publish(channel, value);
    assert.deepEqual((await own.next()).value, value);
  }
  await seen.find(({ message }) => message === null);
  assert.deepEqual(seen.items.splice(0).map(({ message }) => message), values);
  await socket.broadcast("all");
  await seen.find(({ message }) => message === "all", 2);
  assert.sameMembers(seen.items.splice(0).map(({ name }) => name), [channel, `${channel} 2`]);
  await other.unsubscribe(channel);
  await other.rpc("settled", {});
  await socket.publish(channel, "unheard");
  await socket.publish(`${channel} 2`, "heard");
  await seen.find(({ message }) => message === "heard");
  assert.lengthOf(seen.items, 1);
  assert.equal((await errorOf(socket.subscribe("forbidden news").ready)).message, "Forbidden");
  await Promise.all([ended(socket), ended(other)]);
}

export async function comesBack({ TokenSocket, assert, options, channel }) {
  const socket = await connected(TokenSocket, { ...options, ping: 50, pongTimeout: 5000 });
  const reconnects = new Seen();
  const messages = new Seen();
  socket.onreconnect((error) => reconnects.push(error));
  socket.onmessage((_, message) => messages.push(message));
  await socket.subscribe(channel).ready;
  for (let round = 1; round <= 3; round += 1) {
    assert.equal((await errorOf(socket.rpc("dropme", {}))).code, "disconnected");
    await socket.rpc("settled", {});
    await reconnects.find((error) => !error, round);
    await socket.publish(channel, round);
    await messages.find((message) => message === round);
  }
  await ended(socket);
}

export async function refusals({ TokenSocket, assert, options, isJsonp }) {
  const denied = new TokenSocket({ ...options, authentication: { deny: 1 } });
  const refusal = await errorOf(readiness(denied));
  assert.include(isJsonp ? ["refused", "token"] : ["refused"], refusal.code);
  await ended(denied);
  const failing = new TokenSocket({ ...options, authentication: { error: 1 } });
  assert.equal((await errorOf(readiness(failing))).code, "token");
  await ended(failing);
}
