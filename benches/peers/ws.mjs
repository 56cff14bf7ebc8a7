// npm ws for the comparison: no JSON, no tokens, no limits. The first byte of a
// text message says what it asks for: `e` is sent back whole, `s` follows the one
// channel and is sent back whole, `p` goes whole to every follower. Prints
// `listening PORT`.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const ECHO = "e".charCodeAt(0);
const FOLLOW = "s".charCodeAt(0);
const PUBLISH = "p".charCodeAt(0);

const http = createServer();
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
const followers = new Set();
const text = { binary: false };

sockets.on("connection", (socket) => {
  socket.on("message", (message) => {
    switch (message[0]) {
      case FOLLOW:
        followers.add(socket);
        socket.send(message, text);
        break;
      case ECHO:
        socket.send(message, text);
        break;
      case PUBLISH:
        for (const follower of followers) follower.send(message, text);
        break;
    }
  });
  socket.on("close", () => followers.delete(socket));
  // A socket that fails is closed next.
  socket.on("error", () => {});
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  console.log(`listening ${http.address().port}`),
);
