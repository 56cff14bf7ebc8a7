// What scenarios have in common: a socket that is ready, a memory of events, an
// error where one is due. It runs in pages and in Node.js, so it imports nothing.

/** A socket, once it is ready. Rejects when `ready` brings an error. */
export async function connected(TokenSocket, options, actions) {
  const socket = new TokenSocket(options, actions);
  await readiness(socket);
  return socket;
}

/** Resolves when the socket says that it is ready, rejects with the error it says instead. */
export function readiness(socket) {
  return new Promise((resolve, reject) => socket.ready((error) => (error ? reject(error) : resolve())));
}

/** Resolves once the socket has ended. */
export function ended(socket) {
  return new Promise((resolve) => socket.end(resolve));
}

/** The error that a promise is rejected with; throws when it is not. */
export async function errorOf(promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`nothing was refused: ${JSON.stringify(value)}`);
}

/** A promise for what a callback `(error, value)` is given. */
export function answered(send) {
  return new Promise((resolve, reject) => send((error, value) => (error ? reject(error) : resolve(value))));
}

/** What happened so far, and a way to wait for what has not. */
export class Seen {
  items = [];
  #waiting = new Set();

  push(item) {
    this.items.push(item);
    for (const waiter of [...this.#waiting]) {
      waiter();
    }
  }

  /** The `times`th item that satisfies `predicate`, once there is one. */
  find(predicate, times = 1) {
    return new Promise((resolve) => {
      const look = () => {
        const found = this.items.filter(predicate);
        if (found.length >= times) {
          this.#waiting.delete(look);
          resolve(found[times - 1]);
        }
      };
      this.#waiting.add(look);
      look();
    });
  }
}
