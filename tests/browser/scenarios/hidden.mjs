// A page that is hidden for a while.

import { connected, ended, Seen } from "./sockets.mjs";

export async function hearsMessagesWhileHidden({ TokenSocket, assert, stage, host, channel }) {
  const socket = await connected(TokenSocket, { host, ping: 200, pongTimeout: 5000 });
  const messages = new Seen();
  const states = [];
  socket.onmessage((_, message) => messages.push(message));
  socket.on("state", (state) => states.push(state));
  await socket.subscribe(channel).ready;
  await stage("hide");
  await socket.publish(channel, "while hidden");
  await messages.find((message) => message === "while hidden");
  await stage("show");
  assert.equal(await socket.rpc("echo", "shown"), "shown");
  assert.isEmpty(states);
  await ended(socket);
}

export async function leavesASocketInThePage({ TokenSocket, host }) {
  globalThis.socket = await connected(TokenSocket, { host });
}
