// What the engine tells of a failure, for people.
const reasonOf = (error) => String(error?.message || error || "the connection was cut");

export function open(constructor, url, opened, received, closed) {
  let socket, failure;
  try {
    const Socket = constructor ?? globalThis.WebSocket;
    if (!Socket) throw "there is no WebSocket here: hand one in as the option WebSocket";
    socket = new Socket(url);
  } catch (error) {
    failure = error;
    socket = { send() {}, close() {} };
    queueMicrotask(() => socket.onclose?.({}));
  }
  socket.onopen = opened;
  socket.onmessage = received;
  // A close follows. The package `ws` throws what nobody listens for.
  socket.onerror = (error) => (failure = error);
  socket.onclose = ({ code, reason }) =>
    closed(code > 0 && code !== 1006 ? { code, reason: `${reason}` } : { code: 1006, reason: reasonOf(failure) });
  return socket;
}

export function send(socket, text) {
  try {
    socket.send(text);
  } catch {
    // It is about to say that it is closed.
  }
}

export function close(socket, code, reason, closed) {
  const done = () => closed?.({ code: 1006, reason: "" });
  socket.onopen = socket.onmessage = null;
  socket.onclose = closed ? done : null;
  try {
    // A page may say 1000 and its own codes, nothing else.
    code === 1000 || code >= 3000 ? socket.close(code, reason) : socket.close();
  } catch {
    done();
  }
}
