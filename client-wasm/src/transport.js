// One attempt by one transport: the WebSocket, or what stands in for it once that is loaded. `ways` says what there
// is to try, and an attempt leaves word in it for the next one:
//
// - WebSocket, fetch, credentials: instead of the page's own, and whether cookies go along;
// - fallback: loads src/fallback. Without it there is the WebSocket and nothing else;
// - transports: their names, best first; connectTimeout: the time of one attempt, in milliseconds;
// - ladder, transport: what is left to try, and the name of the last by which something was heard.
const WEBSOCKET = "websocket";
const CUT = 1006;
// There is another transport to try.
const DETOUR = 0;

let loaded;

// What the engine tells of a failure, for people.
const reasonOf = (failure) => String(failure?.message || failure || "the connection was cut");

// Where src/fallback keeps word of what worked instead the last time. A page may be denied its storage; Node.js
// warns about its own.
const kept = (url, action) => {
  try {
    return globalThis.document && localStorage[action](`tokensocket ${url}`);
  } catch {
    return undefined;
  }
};

const webSocket = (ways, url) => {
  const Socket = ways.WebSocket ?? globalThis.WebSocket;
  if (!Socket) throw "there is no WebSocket here: hand one in as the option WebSocket";
  return new Socket(url);
};

export function open(ways, url, opened, received, closed) {
  const { fallback, transports: [first] = [WEBSOCKET], connectTimeout = 20_000, ladder } = ways;
  const transport = {};
  let socket, failure, isHeard;
  const tell = (code, reason) => transport.isOver || closed({ code, reason: `${reason}` });
  // This is the end of it, and the beginning of another one if nothing was heard.
  const over = async (why) => {
    failure ||= why;
    let isLeft;
    if (fallback && !isHeard) {
      try {
        loaded ??= await fallback();
        ways.ladder ??= loaded.ladder(ways, url);
        isLeft = !isTried || ways.ladder.failed();
      } catch (error) {
        failure ||= error;
        kept(url, "removeItem");
      }
    }
    isLeft ? tell(DETOUR) : tell(CUT, reasonOf(failure));
  };

  const isTried = !fallback || ladder || (first === WEBSOCKET && !kept(url, "getItem"));
  try {
    if (isTried) socket = ladder ? loaded.open(ladder.next(), ways, url, webSocket) : webSocket(ways, url);
  } catch (error) {
    failure = error;
  }
  transport.socket = socket;
  if (!socket) {
    queueMicrotask(over);
    return transport;
  }
  socket.onopen = opened;
  socket.onmessage = (event) => {
    clearTimeout(transport.timer);
    isHeard = true;
    ways.transport = ladder ? ladder.worked() : WEBSOCKET;
    // From now on nothing of this is in its way.
    socket.onmessage = received;
    received(event);
  };
  // A close follows. The package `ws` throws what nobody listens for.
  socket.onerror = ({ message }) => (failure = message);
  socket.onclose = ({ code, reason }) => {
    clearTimeout(transport.timer);
    code > 0 && code !== CUT ? tell(code, reason) : over(reason);
  };
  const patience = fallback && connectTimeout * (ladder ? ladder.patience : 0.5);
  if (patience) {
    transport.timer = setTimeout(() => {
      shut(socket);
      over("nothing was heard");
    }, patience);
  }
  return transport;
}

// Closes a socket; what it still says goes nowhere but to `done`.
function shut(socket, done, ...why) {
  if (!socket) return done?.();
  socket.onopen = socket.onmessage = null;
  socket.onclose = done;
  try {
    socket.close(...why);
  } catch {
    done?.();
  }
}

export function send({ socket }, text) {
  try {
    socket.send(text);
  } catch {
    // It is about to say that it is closed.
  }
}

export function close(transport, code, reason, closed) {
  clearTimeout(transport.timer);
  transport.isOver = true;
  const done = closed && (() => closed({ code: CUT, reason: "" }));
  // A page may say 1000 and its own codes, nothing else.
  shut(transport.socket, done, ...(code === 1000 || code >= 3000 ? [code, reason] : []));
}
