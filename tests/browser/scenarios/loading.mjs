// How the WebAssembly part gets into a page.

import { connected, ended, errorOf, readiness } from "./sockets.mjs";

export async function callsEcho({ TokenSocket, assert, host, wasm }) {
  const socket = await connected(TokenSocket, { host, wasm });
  assert.equal(await socket.rpc("echo", "loaded"), "loaded");
  await ended(socket);
}

/** The error that `ready` and a call bring where the WebAssembly part cannot be loaded. */
export async function saysWhyNot({ TokenSocket, TokenSocketError, assert, host }) {
  const socket = new TokenSocket({ host });
  const call = errorOf(socket.rpc("echo", 1));
  const error = await errorOf(readiness(socket));
  assert.instanceOf(error, TokenSocketError);
  assert.instanceOf(await call, TokenSocketError);
  await ended(socket);
  return { code: error.code, message: error.message };
}

/** How often the page compiled and instantiated, as counted from before its first script. */
export async function manySocketsAtOnce({ TokenSocket, assert, host }) {
  const sockets = await Promise.all(Array.from({ length: 20 }, () => connected(TokenSocket, { host })));
  for (const [n, socket] of sockets.entries()) {
    assert.equal(await socket.rpc("echo", n), n);
  }
  await Promise.all(sockets.map(ended));
  const last = await connected(TokenSocket, { host });
  await ended(last);
}

export async function takesTheWasmInEveryForm({ TokenSocket, assert, host, form, url }) {
  const forms = {
    address: () => url,
    URL: () => new URL(url),
    response: () => fetch(url),
    bytes: async () => (await fetch(url)).arrayBuffer(),
    view: async () => new Uint8Array(await (await fetch(url)).arrayBuffer()),
    module: async () => WebAssembly.compile(await (await fetch(url)).arrayBuffer()),
  };
  const socket = await connected(TokenSocket, { host, wasm: await forms[form]() });
  assert.equal(await socket.rpc("echo", form), form);
  await ended(socket);
}

/** The first socket fails to load; once the file is there, the next one works. */
export async function triesAgainWithTheNextSocket({ TokenSocket, assert, stage, host }) {
  const first = new TokenSocket({ host });
  assert.equal((await errorOf(readiness(first))).code, "wasm");
  await ended(first);
  await stage("the file is there");
  const second = await connected(TokenSocket, { host });
  assert.equal(await second.rpc("echo", 2), 2);
  await ended(second);
}

export async function canEndWhileLoading({ TokenSocket, assert, stage, host }) {
  const socket = new TokenSocket({ host });
  const call = errorOf(socket.rpc("echo", 1));
  await ended(socket);
  assert.equal((await call).code, "ended");
  await stage("the file is there");
  const next = await connected(TokenSocket, { host });
  assert.equal(await next.rpc("echo", 1), 1);
  await ended(next);
}
