// What the host throws is its own affair, and nothing that WebAssembly could catch.
function report(error) {
  queueMicrotask(() => {
    throw error;
  });
}

export function tell(host, method, ...values) {
  try {
    host[method](...values);
  } catch (error) {
    report(error);
  }
}

export function message(host, publication) {
  try {
    host.message(publication.channel, publication.message ?? null);
  } catch (error) {
    report(error);
  }
}

export function succeed(host, id, answer) {
  try {
    host.settled(id, true, answer?.resp ?? null);
  } catch (error) {
    report(error);
  }
}

export const fail = (host, id, answer, message, code) =>
  tell(host, "settled", id, false, answer?.error, message, code, answer?.details);

export const invoke = (host, fid, path, { data: { args } }, timeout) =>
  tell(host, "invoke", fid, path, args ?? null, timeout);

// The messages of publications, in their order.
export const collect = (messages = [], publication) => (messages.push(publication.message ?? null), messages);
