// A connection of the unmodified sockjs-client, and scenarios made of such. In: the
// client, a server's origin and a transport, or none to let the client choose. A
// scenario opens connections with `open(service, options)`; what is still open at
// its end is closed.

/** Milliseconds until the client gives up a transport. Its own guess, from one request, is too short on a busy machine. */
const PATIENCE = 20_000;

/** One connection: its events as promises. */
class Connection {
  heartbeats = 0;
  #socket;
  #messages = [];
  #waiting = [];
  #ended;

  constructor(socket) {
    this.#socket = socket;
    this.opened = new Promise((resolve) => (socket.onopen = resolve));
    this.closed = new Promise((resolve) => {
      socket.onclose = ({ code, reason, wasClean }) => {
        this.#ended = { code, reason, wasClean };
        resolve(this.#ended);
        this.#look();
      };
    });
    socket.onmessage = ({ data }) => {
      this.#messages.push(data);
      this.#look();
    };
    socket.onheartbeat = () => {
      this.heartbeats += 1;
      this.#look();
    };
  }

  get transport() {
    return this.#socket.transport;
  }

  get isOpen() {
    return this.#socket.readyState === 1;
  }

  send(message) {
    this.#socket.send(message);
  }

  close(code, reason) {
    this.#socket.close(code, reason);
  }

  /** The next `count` messages, in their order. */
  async next(count = 1) {
    await this.until(() => this.#messages.length >= count);
    return this.#messages.splice(0, count);
  }

  /** Resolves once a condition holds that messages or heartbeats bring about. */
  until(condition) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ condition, resolve, reject });
      this.#look();
    });
  }

  #look() {
    this.#waiting = this.#waiting.filter(({ condition, resolve, reject }) => {
      if (condition()) {
        resolve();
      } else if (this.#ended) {
        reject(new Error(`it closed with ${JSON.stringify(this.#ended)}, with ${this.#messages.length} messages unread`));
      } else {
        return true;
      }
      return false;
    });
  }
}

/** A scenario of what `body` does with the connections that it opens. */
export function scenario(body) {
  return async ({ SockJS, origin, transport, ...given }) => {
    const connections = [];
    const url = (service) => `${origin}/${service}`;
    const begin = (service, options) => {
      const socket = new SockJS(url(service), null, { transports: transport, timeout: PATIENCE, ...options });
      const connection = new Connection(socket);
      connections.push(connection);
      return connection;
    };
    const open = async (service, options) => {
      const connection = begin(service, options);
      const refused = await Promise.race([connection.opened.then(() => undefined), connection.closed]);
      if (refused) {
        throw new Error(`${service} did not open: ${JSON.stringify(refused)}`);
      }
      return connection;
    };
    try {
      return await body({ ...given, transport, begin, open, url });
    } finally {
      for (const connection of connections) {
        connection.close();
      }
    }
  };
}

/** Sends messages and expects all of them back, in their order. */
export async function expectEcho(assert, connection, ...messages) {
  for (const message of messages) {
    connection.send(message);
  }
  assert.deepEqual(await connection.next(messages.length), messages);
}
