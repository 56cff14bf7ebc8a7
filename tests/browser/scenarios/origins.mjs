// Whether a page of some origin gets a token.

import { ended, readiness } from "./sockets.mjs";

/** What `whoami` answers, or the code of the error that `ready` brought. */
export async function readyOrWhyNot({ TokenSocket, host, tokenRequest, authentication }) {
  const socket = new TokenSocket({ host, tokenRequest, authentication });
  try {
    await readiness(socket);
    const { user } = await socket.rpc("whoami");
    return { user };
  } catch ({ code, message }) {
    return { code, message };
  } finally {
    await ended(socket);
  }
}
