const MILLIS = "number: milliseconds, not negative";
const COUNT = "number: how many, not negative";
const OPTIONS = {
  tokenUrl: "string",
  socketUrl: "string",
  version: "string",
  device: "string",
  tokenRequest: "string",
  whenFull: "string",
  credentials: "string",
  reconnect: "boolean",
  hello: "boolean",
  headers: "object",
  fetch: "function",
  WebSocket: "function",
  fallback: "function",
  transports: "object",
  ping: MILLIS,
  pongTimeout: MILLIS,
  connectTimeout: MILLIS,
  callTimeout: MILLIS,
  maxInFlight: COUNT,
  queueCalls: COUNT,
  queueBytes: COUNT,
  maxInvocations: COUNT,
};
const CHOICES = { tokenRequest: ["cors", "jsonp"], whenFull: ["refuse", "drop-oldest"] };

// Which option is not as it should be; undefined when all are.
export function wrong(options) {
  if (typeof options !== "object" || options === null) return "the options have to be an object";
  for (const [key, kind] of Object.entries(OPTIONS)) {
    const value = options[key];
    const is = typeof value;
    const required = key.endsWith("Url");
    if (value == null ? required : is !== kind.split(":")[0] || !(is !== "number" || value >= 0))
      return `the option ${key} has to be a ${kind}`;
    if (value != null && CHOICES[key]?.includes(value) === false)
      return `the option ${key} has to be ${CHOICES[key].join(" or ")}`;
  }
}

export const number = (options, key) => options[key] ?? NaN;
export const text = (options, key) => options[key] ?? "";
export const value = (options, key) => options[key] ?? undefined;
export const isNull = (options, key) => options[key] === null;
