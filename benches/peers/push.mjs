// What a push service on Socket.IO looks like: sites as namespaces, rooms from
// an auth URL, `POST /send`, and a queue in Redis for each device that holds
// what is not acknowledged yet. Socket.IO with its Redis adapter, for clients of
// Engine.IO 3 and 4. A peer for the comparison, and what the scenarios of the
// gateway's tests are tried on first.
//
// In: PUSH_SITES, JSON as in `sites.yml` (`authUrl`, `authScheme`, `apiKey`,
// `userRoomPrefix`, `updateUserUrl`, `publicChannel`); REDIS_SOCKET, the Unix
// socket of a running Redis, or REDIS_PORT; DEVICE_TTL in seconds.
// Out: `listening PORT`. What it knows of devices it keeps in this process.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import express from "express";
import redis from "redis";
import { Server } from "socket.io";

const sites = JSON.parse(process.env.PUSH_SITES ?? "{}");
const deviceTtl = Number(process.env.DEVICE_TTL ?? 3600);
const connectRedis = () => redis.createClient(process.env.REDIS_SOCKET ?? Number(process.env.REDIS_PORT));
const store = connectRedis();

/** One command of Redis. */
const ask = (command, ...args) =>
  new Promise((resolve, reject) =>
    store[command](...args, (error, answer) => (error ? reject(error) : resolve(answer))),
  );

const app = express();
app.use(express.json());
app.use(express.urlencoded({ extended: true }));
const http = createServer(app);
const io = new Server(http, { allowEIO3: true, serveClient: false });
io.adapter(createAdapter(connectRedis(), connectRedis()));

let lastId = 0;

/** A device of a user, and the queue of what it has not acknowledged. */
class Device {
  constructor(key, ttl) {
    Object.assign(this, { key, ttl, socket: undefined, leftAt: undefined });
  }

  isForgotten() {
    return !this.socket && this.ttl > 0 && Date.now() - this.leftAt > this.ttl * 1000;
  }

  async arrive(socket) {
    this.socket = socket;
    const [, waiting] = await Promise.all([ask("persist", this.key), ask("lrange", this.key, 0, -1)]);
    if (waiting.length === 0) return;
    const events = waiting.map((entry) => JSON.parse(entry.slice(entry.indexOf(":") + 1)));
    socket.emit("_batch", events, () => store.ltrim(this.key, waiting.length, -1));
  }

  depart(socket) {
    if (this.socket !== socket) return;
    this.socket = undefined;
    this.leftAt = Date.now();
    if (this.ttl > 0) store.expire(this.key, this.ttl);
  }

  async deliver(args, resync) {
    const entry = `${(lastId += 1)}:${JSON.stringify(args)}`;
    const stored = ask("rpush", this.key, entry);
    // The socket has it while Redis still writes; both are in order by themselves.
    this.socket?.emit(...args, () => void this.acknowledge(entry, args[0], resync));
    await stored;
  }

  async acknowledge(entry, event, resync) {
    if (!resync) {
      store.lrem(this.key, 1, entry);
      return;
    }
    const waiting = await ask("lrange", this.key, 0, -1);
    const same = waiting.filter((one) => JSON.parse(one.slice(one.indexOf(":") + 1))[0] === event);
    if (same[0] === entry) {
      store.lrem(this.key, 1, entry);
    } else if (same.includes(entry)) {
      same.forEach((one) => store.lrem(this.key, 1, one));
      this.socket?.emit("_resync");
    }
  }
}

/** A site: its namespace, and who is there. */
class Site {
  constructor(name, options) {
    Object.assign(this, { name, options, users: new Map() });
    this.namespace = io.of(`/${name}`);
    this.namespace.use((socket, next) => {
      this.authenticate(socket).then(() => next(), next);
    });
    this.namespace.on("connection", (socket) => void this.admit(socket));
  }

  accepts(key) {
    return String(this.options.apiKey) === key;
  }

  isPublic(room) {
    return this.options.publicChannel !== undefined && room === this.options.publicChannel;
  }

  isUserRoom(room) {
    return this.isPublic(room) || (this.options.userRoomPrefix && room.startsWith(this.options.userRoomPrefix));
  }

  async authenticate(socket) {
    // Engine.IO 3 has the namespace's query here, 4 that of the handshake.
    const query = { ...socket.handshake.query, ...socket.handshake.auth };
    socket.data.query = query;
    if (!this.options.authUrl) {
      socket.data.rooms = [`${this.options.userRoomPrefix ?? ""}${query.token}`];
      return;
    }
    const headers = { authorization: `${this.options.authScheme} ${query.token}` };
    if (query.meta !== undefined) headers["x-meta"] = query.meta;
    const answer = await fetch(this.options.authUrl, { headers });
    if (answer.status === 401) throw new Error("Authentication failed");
    if (answer.status !== 200) throw new Error(`Auth ${answer.status} error`);
    socket.data.rooms = await answer.json();
    if (this.options.userRoomPrefix && !socket.data.rooms.some((room) => this.isUserRoom(room))) {
      throw new Error("User is missing a private room");
    }
  }

  async admit(socket) {
    const { rooms, query } = socket.data;
    socket.emit("_settings", { device_ttl: deviceTtl });
    if (!this.options.userRoomPrefix) {
      socket.join(rooms.map((room) => room.toLowerCase()));
      return;
    }
    for (const room of rooms.filter((room) => this.isUserRoom(room))) {
      const user = this.users.get(room) ?? { devices: new Map(), rooms: new Set(), tabs: 0 };
      this.users.set(room, user);
      rooms.forEach((other) => user.rooms.add(other.toLowerCase()));
      const id = query.deviceId ?? "";
      const device = user.devices.get(id) ?? new Device(`${this.name}:${room}:${id}`, deviceTtl);
      user.devices.set(id, device);
      user.tabs += 1;
      if (user.tabs === 1) this.tell(room, query.token, "last_connected");
      socket.on("disconnect", () => {
        device.depart(socket);
        user.tabs -= 1;
        if (user.tabs === 0) this.tell(room, query.token, "last_disconnected");
      });
      await device.arrive(socket);
    }
  }

  /** Tells the site that a user came or went. */
  tell(room, token, what) {
    if (!this.options.updateUserUrl || this.isPublic(room)) return;
    const id = room.slice(this.options.userRoomPrefix.length);
    void fetch(this.options.updateUserUrl.replace(":id", encodeURIComponent(id)), {
      method: "PUT",
      headers: { authorization: `${this.options.authScheme} ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ id, user: { [what]: new Date() } }),
    }).catch(() => {});
  }

  /** Who is meant by `rooms`: user rooms, each once. */
  resolve(rooms) {
    const meant = new Set();
    for (const room of rooms) {
      if (this.isUserRoom(room)) {
        meant.add(room);
        continue;
      }
      const shared = room.toLowerCase();
      for (const [name, user] of this.users) if (user.rooms.has(shared)) meant.add(name);
    }
    return meant;
  }

  async send(rooms, args, resync) {
    if (!this.options.userRoomPrefix) {
      this.namespace.to(rooms.map((room) => room.toLowerCase())).emit(...args);
      return;
    }
    const stored = [];
    for (const room of this.resolve(rooms)) {
      const user = this.users.get(room);
      for (const [id, device] of user?.devices ?? []) {
        if (device.isForgotten()) user.devices.delete(id);
        else stored.push(device.deliver(args, resync));
      }
    }
    await Promise.all(stored);
  }
}

const named = new Map(Object.entries(sites).map(([name, options]) => [name, new Site(name, options)]));

app.get("/healthcheck", (_, response) => response.send("ok"));

app.post("/send", async ({ query, body }, response) => {
  if (!query.site || !query.apiKey) {
    response.status(400).send("Missing query param 'site' or 'apiKey'.");
    return;
  }
  const site = named.get(query.site);
  if (!site?.accepts(query.apiKey)) {
    response.status(401).send("ApiKey invalid.");
    return;
  }
  const args = [body.event].concat(body.args ?? []);
  await site.send([].concat(body.rooms ?? []), args, query.resync === "true");
  response.sendStatus(200);
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  console.log(`listening ${http.address().port}`),
);
