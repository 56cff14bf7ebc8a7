// Our wire from a server like socket.io's: Node.js and the package ws, and as
// little as a client needs. So that two clients can be compared and not two
// servers. Its parent says when to publish how much. Prints `listening on http://…`.

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const TOKEN = JSON.stringify({ token: "a99ccb48-4d5c-4d94-8a9b-0b5d0f3ee1cb" });

const server = createServer((_, response) => {
  response.writeHead(200, { "content-type": "application/json", "access-control-allow-origin": "*" }).end(TOKEN);
});
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
/** The channel of each socket. */
const followed = new Map();

sockets.on("connection", (socket) => {
  socket.on("close", () => followed.delete(socket));
  socket.on("message", (text) => {
    const { req, ...request } = JSON.parse(text);
    if (request.rpc === "_subscribe") {
      followed.set(socket, req.channel);
      const data = { ...request, req, channel: req.channel };
      socket.send(JSON.stringify({ internal: true, command: "subscribe", data }));
    } else {
      socket.send(JSON.stringify({ ...request, resp: request.rpc === "auth" ? "success" : req }));
    }
  });
});
process.on("message", ({ channel, count, message }) => {
  for (let n = 0; n < count; n += 1) {
    const text = JSON.stringify({ channel, message });
    for (const [socket, name] of followed) {
      if (name === channel) {
        socket.send(text);
      }
    }
  }
});
process.on("disconnect", () => process.exit());
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
