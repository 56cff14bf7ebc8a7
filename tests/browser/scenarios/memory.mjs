// Sockets in masses: each used, then ended.

import { connected, ended } from "./sockets.mjs";

/** Chromium delays WebSockets of which many are opening at once. */
const AT_ONCE = 8;

/** Opens `count` sockets, has each do a bit of everything, and ends it. */
export async function opensAndEnds({ TokenSocket, host, count }) {
  let left = count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await useOne(TokenSocket, host);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function useOne(TokenSocket, host) {
  const kept = new Uint8Array(1024);
  const controller = new AbortController();
  const socket = await connected(TokenSocket, { host }, { touch: () => kept.length });
  socket.onmessage(() => kept.length);
  socket.on("state", () => kept.length);
  socket.once("reconnect", () => kept.length);
  socket.subscribe("news", () => kept.length);
  const subscription = socket.subscribe("news");
  const next = subscription[Symbol.asyncIterator]().next();
  await socket.rpc("echo", { some: "data" }, { signal: controller.signal, timeout: 60_000 });
  // Neither is answered before the end.
  socket.rpc("slow", { ms: 60_000 }, () => kept.length);
  const pending = socket.rpc("slow", { ms: 60_000 }, { signal: controller.signal }).catch(() => {});
  await ended(socket);
  await Promise.all([pending, next]);
}
