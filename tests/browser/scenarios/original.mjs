// The browser build of the unmodified token-sockjs-client, by one of SockJS's
// transports, against `playground`.

import { Seen } from "./sockets.mjs";

/** Milliseconds until SockJS gives up a transport, see sockjs.mjs. */
const PATIENCE = 20_000;

/** One client, with promises and a memory. */
class Peer {
  readies = new Seen();
  reconnects = new Seen();
  messages = new Seen();

  constructor(TokenSocket, options, actions) {
    this.socket = new TokenSocket(options, actions);
    this.socket.ready((error) => this.readies.push({ error }));
    this.socket.onreconnect((error) => this.reconnects.push({ error }));
    this.socket.onmessage((channel, message) => this.messages.push({ channel, message }));
  }

  async ready() {
    const { error } = await this.readies.find(() => true);
    if (error) {
      throw new Error(`not ready: ${JSON.stringify(error.message ?? error)}`);
    }
  }

  call(action, data) {
    return new Promise((resolve, reject) => {
      this.socket.rpc(action, data, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  /** What a call is refused with: the original hands over what the wire says. */
  async refusal(action, data) {
    let answer;
    try {
      answer = await this.call(action, data);
    } catch (error) {
      return error;
    }
    throw new Error(`${action} was not refused: ${JSON.stringify(answer)}`);
  }

  /** Follows a channel. It holds once a publication of its own has come back. */
  async follow(channel) {
    this.socket.subscribe(channel);
    this.socket.publish(channel, "follow");
    await this.message(channel, "follow");
  }

  message(channel, message) {
    return this.messages.find((item) => item.channel === channel && item.message === message);
  }

  /** By itself the client reconnects even after `end`. */
  stop() {
    this.socket._reconnect = false;
    this.socket.end(() => {});
  }
}

function scenario(body) {
  return async ({ TokenSocket, options, transport, ...given }) => {
    const peers = [];
    const connect = async (more, actions) => {
      const sockjs = { transports: transport, timeout: PATIENCE };
      const peer = new Peer(TokenSocket, { ...options, sockjs, ...more }, actions);
      peers.push(peer);
      await peer.ready();
      given.assert.equal(peer.socket._socket.transport, transport);
      return peer;
    };
    try {
      await body({ ...given, connect });
    } finally {
      for (const peer of peers) {
        peer.stop();
      }
    }
  };
}

export const callsItsServer = scenario(async ({ connect, assert }) => {
  const peer = await connect({ authentication: { user: "zoë & co" } });
  assert.deepEqual(await peer.call("whoami", {}), { user: "zoë & co" });
  const values = [{ a: [1, { b: null }] }, "zwölf ☃ 😀 \u2028 </script>", 0, false, null, "x".repeat(10_000)];
  assert.deepEqual(await Promise.all(values.map((value) => peer.call("echo", value))), values);
  assert.deepEqual(await peer.call("something.nested", 1), { nested: 1 });
  assert.include(JSON.stringify(await peer.refusal("fail", {})), "boom");
  assert.include(JSON.stringify(await peer.refusal("nothing", {})), "Function not found");
});

export const isCalledByItsServer = scenario(async ({ connect, assert }) => {
  const actions = {
    greet: (name, answer) => answer(null, `hello ${name}`),
    deep: { er: { twice: (n, answer) => answer(null, n * 2) } },
    broken: (_, answer) => answer(new Error("page says no")),
  };
  const peer = await connect({}, actions);
  const callMe = (command, args = {}) => ["callme", { command, args }];
  assert.equal(await peer.call(...callMe("greet", "Ada")), "hello Ada");
  assert.equal(await peer.call(...callMe("deep.er.twice", 21)), 42);
  assert.include(JSON.stringify(await peer.refusal(...callMe("broken"))), "page says no");
});

export const subscribesPublishesAndBroadcasts = scenario(async ({ connect, assert, channel }) => {
  const [peer, other] = await Promise.all([connect(), connect()]);
  await Promise.all([peer.follow(channel), other.follow(channel), other.follow(`${channel} 2`)]);
  assert.deepEqual(other.socket.channels(), [channel, `${channel} 2`]);
  for (const text of ["one", "two", "three ☃"]) {
    peer.socket.publish(channel, text);
  }
  await Promise.all([peer.message(channel, "three ☃"), other.message(channel, "three ☃")]);
  const heard = other.messages.items.filter((item) => item.channel === channel && item.message !== "follow");
  assert.deepEqual(heard.map(({ message }) => message), ["one", "two", "three ☃"]);
  const all = `to all from ${channel}`;
  peer.socket.broadcast(all);
  await Promise.all([other.message(channel, all), other.message(`${channel} 2`, all), peer.message(channel, all)]);
  other.socket.unsubscribe(channel);
  await other.call("echo", "behind the unsubscribe");
  peer.socket.publish(channel, "unheard");
  peer.socket.publish(`${channel} 2`, "heard");
  await other.message(`${channel} 2`, "heard");
  assert.isUndefined(other.messages.items.find(({ message }) => message === "unheard"));
});

export const comesBack = scenario(async ({ connect, channel }) => {
  const peer = await connect();
  await peer.follow(channel);
  for (let round = 1; round <= 2; round += 1) {
    peer.socket.rpc("dropme", {});
    await peer.reconnects.find(({ error }) => !error, round);
    peer.socket.publish(channel, `round ${round}`);
    await peer.message(channel, `round ${round}`);
  }
});
