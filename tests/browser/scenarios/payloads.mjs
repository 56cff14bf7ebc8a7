// Values on their way through the engine's own JSON: what goes out comes back.

import { connected, ended, errorOf } from "./sockets.mjs";

export async function everyUnicodePlaneComesBack({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  for (let plane = 0; plane <= 0x10; plane += 1) {
    let text = "";
    for (let low = 0; low < 0x10000; low += plane === 0 ? 1 : 97) {
      const point = plane * 0x10000 + low;
      if (point < 0xd800 || point > 0xdfff) {
        text += String.fromCodePoint(point);
      }
    }
    const answer = await socket.rpc("echo", { [text.slice(0, 200)]: text });
    assert.isTrue(answer[text.slice(0, 200)] === text, `plane ${plane}`);
  }
  await ended(socket);
}

export async function aMegabyteComesBack({ TokenSocket, assert, host, bytes }) {
  const socket = await connected(TokenSocket, { host });
  const text = "0123456789abcdef".repeat(bytes / 16);
  const answer = await socket.rpc("echo", text);
  assert.isTrue(answer === text);
  await ended(socket);
}

export async function keysThatNameThePrototypeStayKeys({ TokenSocket, assert, host, channel }) {
  const received = [];
  const actions = {
    give: (data) => {
      received.push(data);
      return data;
    },
  };
  const socket = await connected(TokenSocket, { host }, actions);
  const source = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"then":1}';
  const check = (value) => {
    assert.equal(JSON.stringify(value), source);
    assert.isTrue(Object.hasOwn(value, "__proto__"));
    assert.isUndefined(value.polluted);
    assert.isUndefined({}.polluted);
  };
  const given = JSON.parse(source);
  check(await socket.rpc("echo", given));
  check(await socket.rpc("callme", { command: "give", args: given }));
  check(received[0]);
  const subscription = socket.subscribe(channel);
  await subscription.ready;
  const next = subscription[Symbol.asyncIterator]().next();
  await socket.publish(channel, given);
  check((await next).value);
  await ended(socket);
}

export async function aChannelMayHaveAnyName({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  for (const name of ["__proto__", "constructor", "toString", `${channel} "\\ \u2028 🦀`]) {
    const subscription = socket.subscribe(name);
    await subscription.ready;
    assert.deepEqual(socket.channels(), [name]);
    const next = subscription[Symbol.asyncIterator]().next();
    await socket.publish(name, { to: name });
    assert.deepEqual((await next).value, { to: name });
    await socket.unsubscribe(name);
  }
  await ended(socket);
}

export async function everyJsonValueComesBack({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  const values = [null, true, false, 0, -1.5, 1e300, Number.MAX_SAFE_INTEGER, "", "7", [], {}, [[[1]]], { a: { b: [] } }];
  for (const value of values) {
    assert.deepEqual(await socket.rpc("echo", value), value);
  }
  await ended(socket);
}

export async function valuesAreWrittenAsTheEnginesJsonDoes({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  const date = new Date(0);
  const value = { date, gone: undefined, run() {}, nan: NaN, toJSON: undefined, list: [undefined], own: { toJSON: () => 5 } };
  assert.deepEqual(await socket.rpc("echo", value), JSON.parse(JSON.stringify(value)));
  await ended(socket);
}

export async function whatJsonCannotWriteIsAnError({ TokenSocket, assert, host }) {
  const socket = await connected(TokenSocket, { host });
  const circle = {};
  circle.self = circle;
  for (const value of [circle, 1n, { toJSON: () => { throw new Error("no JSON"); } }]) {
    const error = await errorOf(socket.rpc("echo", value));
    assert.instanceOf(error, Error);
  }
  assert.equal(await socket.rpc("echo", "still here"), "still here");
  await ended(socket);
}

export async function anAnswerThatJsonCannotWriteIsAnErrorAtTheServer({ TokenSocket, assert, host }) {
  const actions = { circle: () => {
    const circle = {};
    circle.self = circle;
    return circle;
  }, nothing: () => undefined };
  const socket = await connected(TokenSocket, { host }, actions);
  await errorOf(socket.rpc("callme", { command: "circle" }));
  assert.notExists(await socket.rpc("callme", { command: "nothing" }));
  await ended(socket);
}
