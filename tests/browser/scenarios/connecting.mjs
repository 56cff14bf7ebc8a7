// The way to `ready`, and what is said when it leads nowhere.

import { connected, ended, errorOf, readiness, Seen } from "./sockets.mjs";

export async function aRefusedTokenEndsTheSocket({ TokenSocket, TokenSocketError, assert, host }) {
  const socket = new TokenSocket({ host, authentication: { deny: 1 } });
  const call = errorOf(socket.rpc("echo", 1));
  const error = await errorOf(readiness(socket));
  assert.instanceOf(error, TokenSocketError);
  assert.equal(error.code, "refused");
  assert.include(error.message, "Forbidden");
  assert.equal((await call).code, "ended");
  assert.equal(socket.state, "ended");
  await ended(socket);
}

export async function aFailingAuthenticatorIsSaid({ TokenSocket, assert, host }) {
  const socket = new TokenSocket({ host, authentication: { error: 1 } });
  const error = await errorOf(readiness(socket));
  assert.equal(error.code, "token");
  assert.include(error.message, "the authenticator failed");
  await ended(socket);
}

/** Nobody listens at first; the server comes while the socket tries again. */
export async function aServerThatIsGoneAtStartIsSaidAndTriedAgain({ TokenSocket, assert, stage, host }) {
  const socket = new TokenSocket({ host });
  const reconnects = new Seen();
  socket.onreconnect((error) => reconnects.push(error));
  const call = socket.rpc("echo", "waited");
  const error = await errorOf(readiness(socket));
  assert.equal(error.code, "token");
  assert.isNotEmpty(error.message);
  await stage("the server starts");
  await reconnects.find((failure) => !failure);
  assert.equal(await call, "waited");
  await ended(socket);
}

export async function withoutReconnectAServerThatIsGoneIsTheEnd({ TokenSocket, assert, host }) {
  const socket = new TokenSocket({ host, reconnect: false });
  const error = await errorOf(readiness(socket));
  assert.equal(error.code, "token");
  assert.equal((await errorOf(socket.rpc("echo", 1))).code, "ended");
  await ended(socket);
}

export async function wrongOptionsAreErrorsThatSayWhy({ TokenSocket, assert, host }) {
  assert.throws(() => new TokenSocket({ host, transports: ["pigeon"] }), /pigeon/);
  assert.throws(() => new TokenSocket({ host, tokenRequest: "pigeon" }), /pigeon/);
  assert.throws(() => new TokenSocket({ host: "ftp://example.invalid" }));
}

/** Hosts as people write them lead to the same server. */
export async function aHostMayBeWrittenInManyWays({ TokenSocket, assert, host }) {
  const { host: bare, hostname, port } = new URL(host);
  const ways = [host, `${host}/`, `ws://${bare}`];
  const inPage = [bare, `//${bare}`];
  for (const way of globalThis.document ? [...ways, ...inPage] : ways) {
    const socket = await connected(TokenSocket, { host: way });
    assert.equal(await socket.rpc("echo", way), way);
    await ended(socket);
  }
  const socket = await connected(TokenSocket, { host: `http://${hostname}`, port: Number(port) });
  await ended(socket);
}

/** With a ready listener given too late, nothing is missed by those who ask for the state. */
export async function theOriginalsOptionsWork({ TokenSocket, assert, host }) {
  const error = await new Promise((resolve) => {
    const socket = new TokenSocket({
      host,
      tokenPath: "/socket/token",
      socketPrefix: "/sockets",
      reconnect: true,
      authentication: { user: "ann", nested: { list: [1, 2] } },
      ping: 1000,
      sockjs: {},
      transports: ["websocket"],
    });
    socket.ready((failure) => socket.end(() => resolve(failure)));
  });
  assert.notExists(error);
}
