"use strict";

// What the unmodified client must see of a server that speaks like our
// `playground` example. Each function is one behaviour, given ways to open peers
// and a channel name nobody else uses; it throws when the behaviour is missing.

const assert = require("node:assert/strict");

async function ready({ connect }) {
  const peer = await connect();
  assert.deepEqual(peer.client.channels(), []);
  assert.equal(peer.readies.items.length, 1);
}

async function identity({ connect }) {
  const [ada, nobody] = await Promise.all([connect({ authentication: { user: "ada" } }), connect()]);
  assert.deepEqual(await ada.call("whoami", {}), { user: "ada" });
  assert.deepEqual(await nobody.call("whoami", {}), { user: "anonymous" });
}

async function rpc({ connect }) {
  const peer = await connect();
  const values = [{ a: [1, { b: null }] }, [], "", "zwölf ☃ 😀 \u2028", 0, -1.5, false, null, "x".repeat(100_000)];
  for (const value of values) {
    assert.deepEqual(await peer.call("echo", value), value);
  }
  const numbers = Array.from({ length: 50 }, (_, number) => number);
  assert.deepEqual(await Promise.all(numbers.map((number) => peer.call("echo", number))), numbers);
}

async function slow_call_is_overtaken({ connect }) {
  const peer = await connect();
  const order = [];
  const slow = peer.call("slow", { ms: 300 }).then(() => order.push("slow"));
  const quick = peer.call("echo", 1).then(() => order.push("echo"));
  await Promise.all([slow, quick]);
  assert.deepEqual(order, ["echo", "slow"]);
}

async function nested({ connect }) {
  const peer = await connect();
  assert.deepEqual(await peer.call("something.nested", { deep: true }), { nested: { deep: true } });
}

async function errors({ connect }) {
  const peer = await connect();
  assert.deepEqual(await refusal(peer.call("fail", {})), { message: "boom" });
  assert.equal(await refusal(peer.call("failstring", {})), "plain failure");
  assert.equal(await refusal(peer.call("nothing", {})), "Function not found");
  assert.equal(await refusal(peer.call("something", {})), "Function not found");
  assert.equal(await refusal(peer.call("something.nothing", {})), "Function not found");
  assert.equal(await peer.call("echo", "still alive"), "still alive");
}

async function inherited_names_are_no_actions({ connect }) {
  const peer = await connect();
  for (const name of ["toString", "constructor", "__proto__", "echo.call", "something.hasOwnProperty"]) {
    assert.equal(await refusal(peer.call(name, {})), "Function not found", name);
  }
}

async function server_calls_client({ connect }) {
  const peer = await connect({}, {
    greet: ({ name }, answer) => answer(null, `hello ${name}`),
    deep: { er: { twice: (number, answer) => answer(null, number * 2) } },
    broken: (args, answer) => answer(new Error("client says no")),
    plain: (args, answer) => answer("a plain no"),
  });
  assert.equal(await peer.call("callme", { command: "greet", args: { name: "Ada" } }), "hello Ada");
  assert.equal(await peer.call("callme", { command: "deep.er.twice", args: 21 }), 42);
  assert.equal(await refusal(peer.call("callme", { command: "broken", args: {} })), "client says no");
  assert.equal(await refusal(peer.call("callme", { command: "plain", args: {} })), "a plain no");
  peer.client.register({ late: (args, answer) => answer(null, "registered later") });
  assert.equal(await peer.call("callme", { command: "late", args: {} }), "registered later");
}

async function subscribe({ connect, channel }) {
  const peer = await connect();
  await peer.subscribe(channel);
  assert.deepEqual(peer.client.channels(), [channel]);
  const values = [{ object: [1] }, "text", 7, true, null, []];
  for (const data of values) {
    assert.equal(await peer.call("announce", { channel, data }), true);
  }
  await peer.messages.find("the last publication", () => true, values.length);
  assert.deepEqual(peer.messagesOn(channel), values);
}

async function publish({ connect, channel }) {
  const [publisher, follower, stranger] = await Promise.all([connect(), connect(), connect()]);
  await Promise.all([
    publisher.subscribe(channel),
    follower.subscribe(channel),
    stranger.subscribe(`${channel} other`),
  ]);
  const numbers = Array.from({ length: 20 }, (_, number) => ({ number }));
  for (const data of numbers) {
    publisher.client.publish(channel, data);
  }
  for (const peer of [publisher, follower]) {
    await peer.message(channel, ({ number }) => number === 19);
    assert.deepEqual(peer.messagesOn(channel), numbers);
  }
  publisher.client.publish(`${channel} other`, "the end");
  await stranger.message(`${channel} other`);
  assert.deepEqual(stranger.messagesOn(channel), []);
}

async function broadcast({ connect, channel }) {
  const [one, two] = await Promise.all([connect(), connect()]);
  const other = `${channel} other`;
  await Promise.all([one.subscribe(channel), one.subscribe(other), two.subscribe(channel)]);
  // Other tests may broadcast on the same server.
  const mine = { from: channel };
  const isMine = (message) => message?.from === channel;
  two.client.broadcast(mine);
  await Promise.all([one.message(channel, isMine), one.message(other, isMine), two.message(channel, isMine)]);
  // Whatever was delivered twice arrives before these.
  two.client.publish(channel, "the end");
  two.client.publish(other, "the end");
  const isEnd = (message) => message === "the end";
  await Promise.all([one.message(channel, isEnd), one.message(other, isEnd), two.message(channel, isEnd)]);
  assert.equal(one.messagesOn(channel).filter(isMine).length, 1);
  assert.equal(one.messagesOn(other).filter(isMine).length, 1);
  assert.equal(two.messagesOn(channel).filter(isMine).length, 1);
  assert.equal(two.messagesOn(other).length, 0);
}

async function unsubscribe({ connect, channel }) {
  const [leaver, follower] = await Promise.all([connect(), connect()]);
  const other = `${channel} other`;
  await Promise.all([leaver.subscribe(channel), leaver.subscribe(other), follower.subscribe(channel)]);
  follower.client.publish(channel, "before");
  await leaver.message(channel);
  await leaver.unsubscribe(channel);
  assert.deepEqual(leaver.client.channels(), [other]);
  follower.client.publish(channel, "after");
  await follower.message(channel, (message) => message === "after");
  follower.client.publish(other, "the end");
  await leaver.message(other);
  assert.deepEqual(leaver.messagesOn(channel), ["before"]);
}

async function forbidden_channel({ connect, channel }) {
  const peer = await connect();
  const forbidden = `forbidden ${channel}`;
  const sent = { subscribe: [forbidden], publish: [forbidden, "x"] };
  for (const [method, args] of Object.entries(sent)) {
    const answer = peer.answer(`${method} ${forbidden}`, (done) => peer.client[method](...args, done));
    assert.equal(await refusal(answer), "Forbidden", method);
  }
  assert.equal(await peer.call("announce", { channel: forbidden, data: "x" }), true);
  assert.equal(await peer.call("echo", "still alive"), "still alive");
  assert.deepEqual(peer.messagesOn(forbidden), []);
}

async function reconnect_replay({ connect, channel }) {
  const [peer, other] = await Promise.all([connect(), connect()]);
  const channels = [`${channel} one`, `${channel} two`];
  for (const name of channels) {
    await peer.subscribe(name);
  }
  await peer.drop();
  await peer.reconnected();
  await Promise.all(channels.map((name) => peer.confirmed("subscribe", name, 2)));
  await peer.settled();
  for (const name of channels) {
    other.client.publish(name, "after the reconnect");
    assert.equal(await peer.message(name), "after the reconnect");
  }
  assert.deepEqual(peer.client.channels(), channels);
  assert.equal(peer.readies.items.length, 1);
  assert.equal(await peer.call("echo", "still alive"), "still alive");
}

async function reconnects_again_and_again({ connect }) {
  const peer = await connect();
  for (const times of [1, 2, 3]) {
    await peer.drop();
    await peer.reconnected(times);
    assert.equal(await peer.call("echo", times), times);
  }
  assert.equal(peer.readies.items.length, 1);
}

async function queued_calls({ open }) {
  const peer = open();
  await answeredInOrder(peer);
}

async function queued_while_disconnected({ connect }) {
  const peer = await connect();
  await peer.drop();
  await answeredInOrder(peer);
}

async function publication_queued_while_disconnected({ connect, channel }) {
  const peer = await connect();
  await peer.subscribe(channel);
  await peer.drop();
  peer.client.publish(channel, "queued");
  assert.equal(await peer.message(channel), "queued");
}

async function refused_token({ open }) {
  const denied = open({ authentication: { deny: 1 } });
  assert.match((await refusal(denied.ready())).message, /^Forbidden$/);
  const failed = open({ authentication: { error: 1 } });
  const { message } = await refusal(failed.ready());
  assert.notEqual(message, "");
  assert.notEqual(message, "Forbidden");
  assert.doesNotMatch(message, /ECONN/, "the server must answer, not hang up");
}

async function ping({ connect }) {
  const peer = await connect({ ping: 50 });
  const isPong = ({ rpc: verb, resp }) => verb === "_ping" && resp?.message === "pong";
  await peer.frames.find("four pongs", isPong, 4);
  assert.equal(await peer.call("echo", "still alive"), "still alive");
}

async function publish_right_after_subscribe({ connect, channel }) {
  const peer = await connect();
  for (let round = 0; round < 50; round += 1) {
    const name = `${channel} ${round}`;
    peer.client.subscribe(name);
    peer.client.publish(name, round);
    assert.equal(await peer.message(name), round);
  }
}

async function number_like_text_stays_text({ connect, channel }) {
  const peer = await connect();
  await peer.subscribe(channel);
  const texts = ["5", "null", "[1]", "true"];
  for (const text of texts) {
    peer.client.publish(channel, text);
  }
  await peer.messages.find("the last publication", () => true, texts.length);
  assert.deepEqual(peer.messagesOn(channel), texts);
}

async function callbacks_released({ connect, channel }) {
  const peer = await connect();
  await peer.subscribe(channel);
  const { client } = peer;
  const answers = [
    await peer.answer("_publish", (done) => client.publish(channel, "x", done)),
    await peer.answer("_broadcast", (done) => client.broadcast({ from: channel }, done)),
    await peer.answer("_unsubscribe", (done) => client.unsubscribe(channel, done)),
  ];
  assert.deepEqual(answers, ["success", "success", "success"]);
  // Only `_subscribe` stays: its answer is a frame without the call's uuid.
  assert.deepEqual(peer.waitingVerbs().filter((verb) => verb !== "_subscribe"), []);
}

async function reply_once({ connect, channel }) {
  const peer = await connect({}, { greet: (args, answer) => answer(null, "hello") });
  await peer.subscribe(channel);
  await refusal(peer.call("fail", {}));
  await peer.call("callme", { command: "greet", args: {} });
  peer.client.publish(channel, "x");
  peer.client.broadcast({ from: channel });
  await peer.message(channel, (message) => message === "x");
  await peer.message(channel, (message) => message?.from === channel);
  await refusal(peer.answer("publish", (done) => peer.client.publish("forbidden", "x", done)));
  await peer.unsubscribe(channel);
  await peer.call("_ping", {});
  await peer.expectSingleAnswers();
  const subscribed = peer.frames.matching(({ rpc: verb }) => verb === "_subscribe");
  assert.deepEqual(subscribed, [], "_subscribe has its internal frame and no other answer");
}

async function end({ connect }) {
  const peer = await connect({ reconnect: false });
  await new Promise((resolve) => peer.client.end(resolve));
}

/** What the client got as error; fails when the call succeeds. */
async function refusal(call) {
  try {
    await call;
  } catch (error) {
    if ("answer" in error) {
      return error.answer;
    }
    throw error;
  }
  throw new Error("expected an error, got a success");
}

/** Calls now, though not connected, and expects all answers, the first call's first. */
async function answeredInOrder(peer) {
  assert.equal(peer.client._closed, true, "this call would not be queued");
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  const order = [];
  const calls = numbers.map(async (number) => {
    assert.equal(await peer.call("echo", number), number);
    order.push(number);
  });
  await Promise.all(calls);
  assert.deepEqual(order, numbers);
}

module.exports = {
  ready,
  identity,
  rpc,
  slow_call_is_overtaken,
  nested,
  errors,
  inherited_names_are_no_actions,
  server_calls_client,
  subscribe,
  publish,
  broadcast,
  unsubscribe,
  forbidden_channel,
  reconnect_replay,
  reconnects_again_and_again,
  queued_calls,
  queued_while_disconnected,
  publication_queued_while_disconnected,
  refused_token,
  ping,
  publish_right_after_subscribe,
  number_like_text_stays_text,
  callbacks_released,
  reply_once,
  end,
};
