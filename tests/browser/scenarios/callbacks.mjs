// Functions of the user that throw: reported, and without harm to the client.

import { connected, ended, readiness, Seen } from "./sockets.mjs";

/** Returns how many errors were thrown, all of them with the word "thrown" in their message. */
export async function errorsInCallbacksDoNoHarm({ TokenSocket, assert, host, channel }) {
  let thrown = 0;
  const fails = (name) => () => {
    thrown += 1;
    throw new Error(`thrown by ${name}`);
  };
  const socket = new TokenSocket({ host }, { fine: () => "fine" });
  socket.ready(fails("ready"));
  await readiness(socket);
  socket.onmessage(fails("onmessage"));
  socket.onreconnect(fails("onreconnect"));
  socket.on("state", fails("on state"));
  socket.once("message", fails("once"));
  const messages = new Seen();
  const reconnects = new Seen();
  socket.onmessage((_, message) => messages.push(message));
  socket.onreconnect((error) => reconnects.push(error));
  socket.subscribe(channel, fails("subscribe"));
  const subscription = socket.subscribe(channel);
  await subscription.ready;
  socket.rpc("echo", 1, fails("rpc"));
  socket.rpc("fail", 1, fails("rpc"));
  socket.publish(channel, "published", fails("publish"));
  await messages.find((message) => message === "published");
  assert.equal((await subscription[Symbol.asyncIterator]().next()).value, "published");
  assert.equal(await socket.rpc("callme", { command: "fine" }), "fine");
  await socket.rpc("dropme").catch(() => {});
  await reconnects.find((error) => !error);
  assert.equal(await socket.rpc("echo", "still here"), "still here");
  await new Promise((resolve) => {
    socket.end(() => {
      resolve();
      fails("end")();
    });
  });
  return thrown;
}

/** A reader of a subscription that fails leaves the loop, and only that. */
export async function aLoopThatThrowsIsLeft({ TokenSocket, assert, host, channel }) {
  const socket = await connected(TokenSocket, { host });
  const subscription = socket.subscribe(channel);
  await subscription.ready;
  const loop = (async () => {
    for await (const message of subscription) {
      throw new Error(`thrown for ${message}`);
    }
  })().catch((error) => error.message);
  await socket.publish(channel, 1);
  assert.equal(await loop, "thrown for 1");
  assert.deepEqual(socket.channels(), []);
  await ended(socket);
}

/** An action of the page's that answers twice or never, and one that is no function. */
export async function actionsThatMisbehaveDoNoHarm({ TokenSocket, assert, host }) {
  const actions = {
    twice: (_, answer) => {
      answer(null, "first");
      answer(null, "second");
      answer("third");
    },
    never: (_, answer) => void answer,
    number: 5,
    getter: {
      get trap() {
        throw new Error("thrown by a getter");
      },
    },
    notAnError: () => {
      throw undefined;
    },
    thenable: () => ({
      then() {
        throw new Error("thrown by then");
      },
    }),
  };
  const socket = await connected(TokenSocket, { host }, actions);
  const callMe = (command, timeout) =>
    socket.rpc("callme", { command }, { timeout }).then(
      (value) => ({ value }),
      ({ message, code }) => ({ message, code }),
    );
  assert.deepEqual(await callMe("twice"), { value: "first" });
  assert.equal((await callMe("never", 50)).code, "timeout");
  assert.equal((await callMe("number")).message, "Function not found");
  assert.isString((await callMe("getter.trap")).message);
  assert.isString((await callMe("notAnError")).message);
  assert.equal((await callMe("thenable")).message, "thrown by then");
  assert.equal(await socket.rpc("echo", "still here"), "still here");
  await ended(socket);
}
