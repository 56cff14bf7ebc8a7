// What transport.js wants to be told. A front end in Rust has its scripts in files of their own, all of which the
// page loads at its start.
import * as fallback from "../fallback/index.js";

export const ways = (names, connectTimeout, credentials) => ({
  transports: names ? names.split(" ") : undefined,
  connectTimeout,
  credentials,
  fallback: names === "websocket" ? undefined : async () => fallback,
});
