"use strict";

// The unmodified node-token-sockjs as a server, offering what our `playground`
// example offers. In: `--redis-port N` of a running Redis, `--redis-host` (default
// 127.0.0.1), `--listen-port N` (default 0, any free one). Out: one line
// `listening PORT` on stdout once clients may connect. Ends on SIGTERM, or when
// its standard input closes, so that it never outlives the test that started it.
//
// Known limits of the package itself: it dies on malformed messages, and a
// publication may overtake the subscription it was meant for. The action
// `settled`, which playground has no need of, answers once Redis has confirmed
// every subscription made so far.

const { EventEmitter, once } = require("node:events");
const http = require("node:http");
const { parseArgs } = require("node:util");
const express = require("express");
const redis = require("redis");
const sockjs = require("sockjs");
const TokenSocketServer = require("node-token-sockjs");

const { values: options } = parseArgs({
  options: {
    "redis-host": { type: "string", default: "127.0.0.1" },
    "redis-port": { type: "string" },
    "listen-port": { type: "string", default: "0" },
  },
});
if (!options["redis-port"]) {
  fail("needs --redis-port N, the port of a running Redis");
}

function fail(reason) {
  console.error(`original-server: ${reason}`);
  process.exit(1);
}

function connectRedis() {
  const client = redis.createClient(Number(options["redis-port"]), options["redis-host"]);
  client.on("error", (error) => fail(`Redis at port ${options["redis-port"]}: ${error.message}`));
  return client;
}

const redisClient = connectRedis();
const pubsubClient = connectRedis();
const confirmed = confirmedChannels(pubsubClient);

/** The channels Redis has confirmed; emits `change` with every confirmation. */
function confirmedChannels(client) {
  const channels = Object.assign(new EventEmitter(), { names: new Set() });
  channels.setMaxListeners(0);
  client.on("subscribe", (channel) => {
    channels.names.add(channel);
    channels.emit("change");
  });
  client.on("unsubscribe", (channel) => {
    channels.names.delete(channel);
    channels.emit("change");
  });
  return channels;
}

/** Resolves once Redis has confirmed every channel that `wanted` names by then. */
async function subscribedInRedis(wanted) {
  while (!wanted().every((channel) => confirmed.names.has(channel))) {
    await once(confirmed, "change");
  }
}

const actions = {
  echo: (auth, data, answer) => answer(null, data),
  something: {
    nested: (auth, data, answer) => answer(null, { nested: data }),
  },
  fail: (auth, data, answer) => answer(new Error("boom")),
  failstring: (auth, data, answer) => answer("plain failure"),
  slow: (auth, { ms }, answer) => setTimeout(answer, ms, null, { ms }),
  whoami: (auth, data, answer) => answer(null, auth),
  callme: (auth, { command, args }, answer, socket) => server.rpc(socket, command, args, answer),
  dropme: (auth, data, answer, socket) => socket.close(1000, "Normal closure"),
  announce: (auth, { channel, data }, answer) => {
    server.publish(channel, data);
    answer(null, true);
  },
  settled: async (auth, data, answer) => {
    await subscribedInRedis(() => server.channels());
    answer(null, true);
  },
};

function authenticate({ query }, done) {
  if (query.error === "1") {
    done(new Error("the authenticator failed"));
  } else if (query.deny === "1") {
    done(null, false);
  } else {
    done(null, { user: query.user ?? "anonymous" });
  }
}

function allowUnlessForbidden(socket, { channel }, done) {
  done(null, !String(channel).startsWith("forbidden"));
}

const app = express();
const httpServer = http.createServer(app);
const silent = { log: () => {} };

const sockets = sockjs.createServer(silent);
const server = new TokenSocketServer(app, redisClient, sockets, {
  pubsubClient,
  socketController: actions,
  authentication: authenticate,
  ping: true,
});
server.on("subscribe", allowUnlessForbidden);
server.on("publish", allowUnlessForbidden);
sockets.installHandlers(httpServer, { prefix: "/sockets" });

const echo = sockjs.createServer(silent);
echo.on("connection", (connection) => connection.on("data", (message) => connection.write(message)));
echo.installHandlers(httpServer, { prefix: "/echo" });

process.on("SIGTERM", () => process.exit(0));
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
process.stdin.resume();

httpServer.on("error", (error) => fail(`cannot listen: ${error.message}`));
subscribedInRedis(() => ["___all___", "___sync___"]).then(() => {
  httpServer.listen(Number(options["listen-port"]), "127.0.0.1", () => {
    console.log(`listening ${httpServer.address().port}`);
  });
});
