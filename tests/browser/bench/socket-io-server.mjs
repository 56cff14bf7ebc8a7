// What playground offers, as far as it is measured, with socket.io. Its parent
// says when to publish how much. Prints `listening on http://…`.

import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer();
const io = new Server(server, { cors: { origin: "*" } });

io.on("connection", (socket) => {
  socket.on("echo", (value, answer) => answer(value));
});
process.on("message", ({ count, message }) => {
  for (let n = 0; n < count; n += 1) {
    io.emit("message", message);
  }
});
process.on("disconnect", () => process.exit());
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
