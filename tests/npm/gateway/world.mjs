// What one run of a scenario has: clients of one generation on one transport, a
// site that does as tokens say, and the gateway's HTTP face. Users and rooms are
// its own, so that runs do not meet.

import { randomBytes } from "node:crypto";
import { Client } from "./client.mjs";
import { until, waiting } from "./waiting.mjs";

export class World {
  /** @param {{generation: string, transport: string, gateway: string, other?: string, site: string, ask: Function}} way */
  constructor(way) {
    Object.assign(this, way);
    this.way = way;
    this.id = randomBytes(6).toString("hex");
    this.user = `user_${this.id}`;
    this.room = `staff_${this.id}`;
    this.clients = [];
  }

  /** A token that has the site answer with `orders`; rooms alone will do. */
  token(orders) {
    const all = Array.isArray(orders) ? { rooms: orders } : orders;
    return Buffer.from(JSON.stringify({ ...all, nonce: randomBytes(6).toString("hex") })).toString("hex");
  }

  /**
   * A client of `namespace` with this query, which listens to `events`. Without
   * a token it has one for the run's own user and room.
   */
  open(query = {}, { namespace = "newsite", events = ["e", "f", "barrier"], gateway = this.gateway, ...options } = {}) {
    const all = { token: this.token([this.user, this.room]), ...query };
    // Clients read `+` as it stands, so a space must not become one.
    const fields = Object.entries(all).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    const client = new Client({ ...this.way, gateway }, `/${namespace}?${fields.join("&")}`, events, options);
    client.token = all.token;
    this.clients.push(client);
    return client;
  }

  /** The same, let in, with its settings read. */
  async join(query, options) {
    const client = this.open(query, options);
    await client.connected();
    const { event, args } = await client.next();
    if (event !== "_settings") throw new Error(`${event} came before the settings`);
    client.settings = args[0];
    return client;
  }

  /** A form or JSON to `/send`; gives status and text. */
  async post(query, body, headers = {}, gateway = this.gateway) {
    const isForm = typeof body === "string";
    const type = isForm ? "application/x-www-form-urlencoded" : "application/json";
    const answer = await waiting(
      "an answer to /send",
      fetch(`${gateway}/send?${new URLSearchParams(query)}`, {
        method: "POST",
        headers: { "content-type": type, ...headers },
        body: isForm ? body : JSON.stringify(body),
      }),
    );
    return { status: answer.status, text: await answer.text() };
  }

  /** Sends, which must succeed. */
  async send(rooms, event, args, query = {}, gateway = this.gateway) {
    const all = { site: "newsite", apiKey: "54321", ...query };
    const { status, text } = await this.post(all, { rooms, event, args }, {}, gateway);
    if (status !== 200 || text !== "OK") throw new Error(`/send answered ${status} ${text}`);
  }

  /** Fails unless the next that `client` gets is a message sent now: so nothing waits before it. */
  async nothingBefore(client, rooms = this.user, query = {}) {
    const mark = randomBytes(4).toString("hex");
    await this.send(rooms, "barrier", [mark], query);
    // A barrier from before may come once more: its acknowledgement was on its way when its connection was stopped.
    for (let came = false; !came; ) {
      const { event, args, ack } = await client.next();
      const said = event === "_batch" ? args[0] : [[event, ...args]];
      if (said.some(([name]) => name !== "barrier")) {
        throw new Error(`${event} ${JSON.stringify(args)} came, although nothing should`);
      }
      came = said.some(([, what]) => what === mark);
      ack?.();
    }
  }

  /** What the site was asked with this token so far. */
  async asked(token) {
    const answer = await fetch(`${this.site}/asked/${token}`);
    return answer.json();
  }

  /** The same, once there are `count` of this method. */
  async untilAsked(token, method, count) {
    const enough = async () => {
      const asked = (await this.asked(token)).filter((one) => one.method === method);
      return asked.length >= count && asked;
    };
    return until(`the site got ${count} ${method}`, enough);
  }

  stop() {
    this.clients.forEach((client) => client.stop());
  }
}
