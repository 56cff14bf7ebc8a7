// The kinds of messages, as codec.rs knows them.
const [UNKNOWN, NOT_JSON, RESULT, FAILURE, PUBLICATION, SUBSCRIBED, UNSUBSCRIBED, CALL, CANCEL, RECONNECT, ERROR, MEMBER, SETTINGS, BATCH, DELIVER, RESYNC] =
  Array(16).keys();

const isText = (value) => typeof value === "string";
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function parse({ data }) {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}

export const reader = (received, published) => (event) => {
  const message = parse(event);
  kind(message) === PUBLICATION ? published(message) : received(message);
};

export function kind(message) {
  if (!isObject(message)) return message === undefined ? NOT_JSON : UNKNOWN;
  const { internal, uuid, channel } = message;
  if (internal === true) return internalKind(message);
  if (message.rpc != null && uuid != null) {
    if (!isText(uuid)) return UNKNOWN;
    return message.error != null ? FAILURE : RESULT;
  }
  if (channel != null) return isText(channel) ? PUBLICATION : UNKNOWN;
  return message.error != null ? ERROR : UNKNOWN;
}

function internalKind({ command, data }) {
  if (!isObject(data)) return UNKNOWN;
  switch (command) {
    case "subscribe":
      return isText(data.channel) ? SUBSCRIBED : UNKNOWN;
    case "unsubscribe":
      return isText(data.channel) ? UNSUBSCRIBED : UNKNOWN;
    case "rpc":
      return isText(data.fid) && isText(data.command) ? CALL : UNKNOWN;
    case "cancel":
      return isText(data.fid) ? CANCEL : UNKNOWN;
    case "reconnect":
      return isCount(data.after_ms) ? RECONNECT : UNKNOWN;
    case "join":
    case "leave":
      return isText(data.channel) && data.member != null ? MEMBER : UNKNOWN;
    case "settings":
      return isText(data.device) && isText(data.epoch) && isCount(data.device_ttl) ? SETTINGS : UNKNOWN;
    case "batch":
      return isCount(data.id) && isList(data.items, isEntry) ? BATCH : UNKNOWN;
    case "deliver":
      return isEntry(data) ? DELIVER : UNKNOWN;
    case "resync":
      return isCount(data.id) ? RESYNC : UNKNOWN;
    default:
      return UNKNOWN;
  }
}

const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isList = (value, is) => Array.isArray(value) && value.every(is);
const isEntry = (value) => isObject(value) && isCount(value.id) && isText(value.event);
const isPast = (value) => isObject(value) && isCount(value.offset);

// A publication's place in its channel; less than 0 where the channel keeps none.
export const offset = (message) => number(message, "", "offset");

// Fields of a message or of the object inside it; each undefined, or a number less than 0, unless of the type that is
// asked for.
const inside = (message, outer) => (outer ? message[outer] : message);

export function text(message, outer, field) {
  const value = inside(message, outer)?.[field];
  return isText(value) ? value : undefined;
}

export function number(message, outer, field) {
  const value = inside(message, outer)?.[field];
  return isCount(value) ? value : -1;
}

export function flag({ data }, field) {
  const value = data[field];
  // Publications that cannot be read are not all that were missed.
  if (field === "recovered" && value && !isList(data.publications, isPast)) return false;
  return typeof value === "boolean" ? value : undefined;
}

// One of several things in a message, or the one that it is about; undefined when there is none.
export const item = ({ data }, list, index) => (list ? data[list]?.[index] : data);

export function feature({ session }, index) {
  const name = Array.isArray(session.features) ? session.features[index] : undefined;
  return isText(name) ? name : undefined;
}

export function hasSession({ session }) {
  return isObject(session);
}

// The text of an error for people.
export function errorText({ error }) {
  return isText(error) ? error : isText(error.message) ? error.message : "";
}

// `undefined` has no JSON of its own.
export function stringify(value) {
  try {
    return { json: JSON.stringify(value) ?? "null" };
  } catch (error) {
    return { why: String(error?.message ?? error) };
  }
}

// What goes. Payloads are JSON already; null stands for itself, undefined for none.
const quote = JSON.stringify;

export const auth = (token, uuid, name, version, features, device) =>
  quote({
    rpc: "auth",
    token,
    uuid,
    client: name ? { name, version, features: features.trim().split(" "), device } : undefined,
  });

export const request = (rpc, req, uuid, timeout) =>
  `{"rpc":${quote(rpc)},"req":${req},"uuid":"${uuid}"${timeout === undefined ? "" : `,"timeout_ms":${timeout}`}}`;

export function named(rpc, field, name, data, uuid, key) {
  const fields = [];
  if (field) fields.push(`"${field}":${quote(name)}`);
  if (data !== undefined) fields.push(`"data":${data}`);
  if (key !== undefined) fields.push(`"key":${quote(key)}`);
  return request(rpc, `{${fields}}`, uuid);
}

export const subscribe = (channel, epoch, offset, presence, uuid) =>
  request("_subscribe", quote({ channel, recover: epoch && { epoch, offset }, presence: presence || undefined }), uuid);

export const acknowledge = (what, id, uuid) => request("_ack", `{"${what}":${id}}`, uuid);

const respond = (fid, resp) => `{"rpc":"_rpc","fid":${quote(fid)},"resp":{${resp}}}`;

export const answer = (fid, data) => respond(fid, `"data":${data}`);

export const refuse = (fid, error, code, details) =>
  respond(
    fid,
    `"error":${error}${code ? `,"code":"${code}"` : ""}${details === undefined ? "" : `,"details":${details}`}`,
  );

// How many bytes of UTF-8.
export function bytes(text) {
  text ??= "null";
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return bytes;
}
