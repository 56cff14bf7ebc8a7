// Event clients with npm `ws`, unmodified, in each mode. In: the address of a
// server that offers /events/off, /events/true, /events/data and
// /events/passthrough as the `push_service` example does, or other paths: MODE in
// --path stands for the mode. Out: one line for each
// scenario, `ok NAME` or `not ok NAME: why`; the exit status is 0 when all passed.

import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import WebSocket from "ws";

const LIMIT_MS = 10_000;
const thing = { event: "data:set:thing", data: { name: "thing", n: 1 } };
const later = { event: "data:set:later", data: { name: "later" } };

/** A connection with a memory: `next()` gives what came, in order. */
class Client {
  constructor(url) {
    this.socket = new WebSocket(url);
    this.inbox = [];
    this.readers = [];
    this.socket.on("message", (text) => {
      const message = JSON.parse(text);
      const reader = this.readers.shift();
      if (reader) reader(message);
      else this.inbox.push(message);
    });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on("open", () => resolve(this));
      this.socket.on("error", reject);
      this.socket.on("unexpected-response", (_, response) => reject(new Error(`status ${response.statusCode}`)));
    });
  }

  say(message) {
    this.socket.send(typeof message === "object" && !Buffer.isBuffer(message) ? JSON.stringify(message) : message);
  }

  next() {
    if (this.inbox.length > 0) return Promise.resolve(this.inbox.shift());
    return new Promise((resolve) => this.readers.push(resolve));
  }

  /** The next message must be this one. */
  async expect(message) {
    assert.deepEqual(await this.next(), message);
  }

  close() {
    this.socket.terminate();
  }
}

const scenarios = {
  async off_accepts_no_upgrade({ refused }) {
    assert.equal(await refused("off"), "status 404");
  },

  async true_answers_data_and_hands_over_the_rest({ open }) {
    const client = await open("true");
    client.say({ event: "data:get:thing" });
    await client.expect(thing);
    const message = { event: "echo:message", text: "é", n: [1, null, { deep: true }] };
    client.say(message);
    await client.expect({ event: "echo:reply", data: message });
  },

  async data_answers_data_and_nothing_else({ open }) {
    const client = await open("data");
    client.say({ event: "echo:message", n: 1 });
    client.say({ event: "data:get:thing" });
    await client.expect(thing);
  },

  async passthrough_hands_everything_over({ open }) {
    const client = await open("passthrough");
    client.say({ event: "data:get:thing" });
    client.say({ event: "echo:message", n: 1 });
    await client.expect({ event: "echo:reply", data: { event: "echo:message", n: 1 } });
  },

  async a_slow_answer_holds_nothing_up({ open }) {
    const client = await open("true");
    client.say({ event: "data:get:later" });
    client.say({ event: "data:get:thing" });
    await client.expect(thing);
    await client.expect(later);
  },

  async every_socket_that_asks_is_answered({ open }) {
    const clients = await Promise.all(Array.from({ length: 10 }, () => open("data")));
    for (const client of clients) client.say({ event: "data:get:later" });
    for (const client of clients) {
      await client.expect(later);
      client.say({ event: "data:get:thing" });
      await client.expect(thing);
    }
  },

  async a_socket_that_asks_twice_is_answered_twice({ open }) {
    const client = await open("data");
    for (let n = 0; n < 100; n += 1) client.say({ event: "data:get:thing" });
    for (let n = 0; n < 100; n += 1) await client.expect(thing);
  },

  async what_is_no_message_is_ignored({ open }) {
    for (const mode of ["true", "data"]) {
      const client = await open(mode);
      const noMessages = ["", "nonsense", "null", "7", '"event"', "[]", "{}", '{"data":1}', '{"event":null}'];
      for (const text of [...noMessages, '"event" : "some:event"', Buffer.from([0xff, 0xfe])]) client.say(text);
      client.say({ event: "data:get:nothing" });
      client.say({ event: "some:event" });
      client.say({ event: "data:get:thing" });
      await client.expect(thing);
    }
  },

  async bytes_that_are_a_message_are_one({ open }) {
    const client = await open("true");
    client.say(Buffer.from('{"event":"data:get:thing"}'));
    await client.expect(thing);
  },
};

async function run(name, url, path) {
  const clients = [];
  const open = (mode) => {
    const client = new Client(`${url}${path.replace("MODE", mode)}`);
    clients.push(client);
    return client.opened;
  };
  const refused = (mode) => open(mode).then(() => "accepted", (error) => error.message);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  try {
    await Promise.race([scenarios[name]({ open, refused }), late]);
    return `ok ${name}`;
  } catch (error) {
    return `not ok ${name}: ${error.message.split("\n").join(" ")}`;
  } finally {
    clearTimeout(timer);
    for (const client of clients) client.close();
  }
}

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    path: { type: "string", default: "/events/MODE" },
    list: { type: "boolean", default: false },
  },
});
if (values.list) {
  for (const name of Object.keys(scenarios)) console.log(name);
} else if (!values.url) {
  console.error("usage: node events.mjs --url ws://ADDRESS [--path /events/MODE] | --list");
  process.exitCode = 2;
} else {
  for (const name of Object.keys(scenarios)) {
    const line = await run(name, values.url, values.path);
    console.log(line);
    if (!line.startsWith("ok ")) process.exitCode = 1;
  }
}
