// The same delivery reaches four kinds of clients at once: the package in a page
// or in Node.js, the native client, Socket.IO, and a plain WebSocket with events.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { io } from "socket.io-client";
import { WebSocket } from "ws";
import { gateway, programPath } from "../harness/program.mjs";
import { ENTRIES, realm } from "../harness/realm.mjs";

const limit = { timeout: 30_000 };

/** A site's auth URL: a token is the user's name. Gives its URL. */
async function authUrl(t) {
  const server = createServer((request, response) => {
    const [, user] = (request.headers.authorization ?? "").split(" ");
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify([`user_${user}`, "staff"]));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}/socketrooms`;
}

/** A gateway with one site. */
async function newsite(t) {
  const folder = await mkdtemp(path.join(tmpdir(), "tokensocket-gateway-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, "sites.yml");
  const site = { authUrl: await authUrl(t), apiKey: "54321", userRoomPrefix: "user_", events: true };
  // JSON is YAML.
  await writeFile(file, JSON.stringify({ newsite: site }));
  return gateway(t, "--config", file, "--log", "warn");
}

/** POSTs JSON with the site's key. */
async function post(origin, place, body) {
  const answer = await fetch(`${origin}${place}?site=newsite`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer 54321" },
    body: JSON.stringify(body),
  });
  assert.ok(answer.ok, `${place}: ${answer.status} ${await answer.clone().text()}`);
}

/** The next event of a Socket.IO client, with its arguments, acknowledged. */
function received(client, event) {
  return new Promise((resolve) => {
    client.once(event, (...args) => {
      if (typeof args.at(-1) === "function") args.pop()();
      resolve(args);
    });
  });
}

for (const entry of ENTRIES) {
  describe(`the gateway (${entry})`, () => {
    test("one delivery reaches whatever a user's clients speak", limit, async (t) => {
      const { origin } = await newsite(t);
      const token = `${entry}-8`;
      const socketio = io(`${origin}/newsite`, { query: { token, deviceId: "io" }, transports: ["polling"] });
      t.after(() => socketio.disconnect());
      await once(socketio, "_settings");
      const address = `${origin.replace("http", "ws")}/newsite/events?token=${token}&deviceId=events`;
      const events = new WebSocket(address);
      t.after(() => events.terminate());
      await once(events, "open");
      const options = ["--site", "newsite", "--with", `token=${token}`, "--url", origin];
      const receive = ["receive", "order", "--user", token, "--device", "native", "--json", "--count", "1"];
      const native = spawn(programPath("tokensocket"), [...receive, ...options], { stdio: ["ignore", "pipe", "inherit"] });
      t.after(() => native.kill("SIGKILL"));

      const place = await realm(t, entry);
      const args = [entry, { n: 1, text: "ü" }];
      await place.run("gateway.mjs", "takesWhatTheOthersTake", { host: origin, token }, {
        "everybody is there": async () => {
          const others = [
            received(socketio, "order"),
            once(events, "message").then(([text]) => JSON.parse(text)),
            once(native.stdout, "data").then(([text]) => JSON.parse(text)),
          ];
          await present(origin, token, 4);
          await post(origin, "/send", { rooms: ["STAFF"], event: "order", args });
          const order = { event: "order", args };
          assert.deepEqual(await Promise.all(others), [args, order, order]);
        },
        "the order came": async (order) => {
          assert.deepEqual(order, args);
          const others = [received(socketio, "news"), once(events, "message").then(([text]) => JSON.parse(text))];
          await post(origin, "/api/v1/emit", { users: [token], channel: "news", data: { a: null } });
          assert.deepEqual(await Promise.all(others), [[{ a: null }], { event: "news", data: { a: null } }]);
        },
        "the news came": (news) => assert.deepEqual(news, ["news", { a: null }]),
      });
    });
  });
}

/** Resolves once a user has so many sockets. */
async function present(origin, user, count) {
  for (;;) {
    const answer = await fetch(`${origin}/api/v1/sockets?site=newsite&user=${user}`, {
      headers: { authorization: "Bearer 54321" },
    });
    const { items } = await answer.json();
    if (items.length >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
