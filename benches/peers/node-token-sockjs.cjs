// The original server for the comparison, as its README sets it up: express,
// SockJS, Redis for tokens and publications. The Unix socket of a running Redis
// comes in REDIS_SOCKET. Prints `listening PORT`.
"use strict";
const http = require("node:http");
const express = require("express");
const redis = require("redis");
const sockjs = require("sockjs");
const TokenSocketServer = require("node-token-sockjs");

const redisSocket = process.env.REDIS_SOCKET;
if (!redisSocket) {
  console.error("REDIS_SOCKET must name the Unix socket of a running Redis");
  process.exit(2);
}

const app = express();
const server = http.createServer(app);
const sockets = sockjs.createServer({ log: () => {} });
sockets.installHandlers(server, { prefix: "/sockets" });

new TokenSocketServer(app, redis.createClient(redisSocket), sockets, {
  prefix: "/sockets",
  tokenRoute: "/socket/token",
  pubsubClient: redis.createClient(redisSocket),
  authentication: (request, callback) => callback(null, { user: "bench" }),
  socketController: {
    echo: (auth, data, callback) => callback(null, data),
  },
});

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  console.log(`listening ${server.address().port}`),
);
