// Socket.IO server for the comparison: an acknowledged `echo`, rooms, and a
// token checked in the handshake. Prints `listening PORT`. With REDIS_PORT it is
// one of several that share rooms by the Redis there.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import redis from "redis";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  allowUpgrades: false,
  serveClient: false,
});

const redisPort = process.env.REDIS_PORT;
if (redisPort) {
  const connect = () => redis.createClient(Number(redisPort));
  io.adapter(createAdapter(connect(), connect()));
}

io.use((socket, next) => {
  if (socket.handshake.auth?.token) next();
  else next(new Error("a token is needed"));
});

io.on("connection", (socket) => {
  socket.on("echo", (data, answer) => answer(data));
  socket.on("subscribe", (channel, answer) => {
    socket.join(channel);
    answer(true);
  });
  socket.on("publish", (channel, data) => io.to(channel).emit("message", data));
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  console.log(`listening ${http.address().port}`),
);
