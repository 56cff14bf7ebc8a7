// npm sockjs for the comparison: a plain echo service without tokens at `/echo`,
// as it is by default, which ends a streaming answer after 128 KiB. Prints
// `listening PORT`.
"use strict";
const http = require("node:http");
const sockjs = require("sockjs");

const server = http.createServer();
const echo = sockjs.createServer({ prefix: "/echo", log: () => {} });

echo.on("connection", (session) => {
  // None, when the client was gone before it had been told of.
  if (session) session.on("data", (message) => session.write(message));
});
echo.installHandlers(server);

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  console.log(`listening ${server.address().port}`),
);
