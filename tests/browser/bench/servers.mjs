// The servers of the comparison, each in a process of its own, and who makes
// them publish. In: an owner with `after`, as a test is. Out: where they listen,
// and `burst(channel, count)`, which has that many messages sent to whom follows
// the channel; a server of socket.io has one for all.

import { spawn } from "node:child_process";
import path from "node:path";
import { WebSocket } from "ws";
import { listeningAt, playground } from "../harness/program.mjs";
import { originalServer } from "../harness/original.mjs";

/** What is published; with its channel some 100 bytes on every wire. */
export const MESSAGE = { id: 12345, text: "a message of some sixty-four bytes, as small ones are" };

/** Our `playground`, and a publisher beside it. */
export async function ours(owner) {
  const { origin } = await playground(owner);
  return { origin, burst: await publisher(owner, origin) };
}

/** The original server, which publishes through its Redis. */
export async function original(owner) {
  const { origin } = await originalServer(owner);
  return { origin, burst: await publisher(owner, origin) };
}

/** A small server of socket.io. */
export const socketIo = (owner) => ofNode(owner, "socket-io-server.mjs");

/** A server of our wire made like that of socket.io. */
export const wire = (owner) => ofNode(owner, "wire-server.mjs");

async function ofNode(owner, file) {
  const program = spawn(process.execPath, [path.join(import.meta.dirname, file)], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  owner.after(() => program.kill());
  const origin = await listeningAt(program);
  return { origin, burst: (channel, count) => program.send({ channel, count, message: MESSAGE }) };
}

/** A client of its own that publishes, speaking the wire as it is: no client library weighs in. */
async function publisher(owner, origin) {
  const { token } = await (await fetch(`${origin}/socket/token`)).json();
  const socket = new WebSocket(`${origin.replace("http", "ws")}/sockets/websocket`, { perMessageDeflate: false });
  owner.after(() => socket.close());
  await new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("message", resolve);
    socket.once("open", () => socket.send(JSON.stringify({ rpc: "auth", token, uuid: "auth" })));
  });
  return (channel, count) => {
    const data = JSON.stringify({ channel, data: MESSAGE });
    // In few large writes: who publishes is not to be what is measured.
    socket._socket.cork();
    for (let n = 0; n < count; n += 1) {
      socket.send(`{"rpc":"_publish","req":${data},"uuid":"p${n}"}`);
    }
    socket._socket.uncork();
  };
}
