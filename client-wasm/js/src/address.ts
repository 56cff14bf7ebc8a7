import { TokenSocketError } from "./error.js";
import { encodeForm } from "./form.js";

/** Where the server is, as the options tell. */
export interface Place {
  host?: string | undefined;
  port?: number | string | undefined;
  tokenPath?: string | undefined;
  socketPrefix?: string | undefined;
  authentication?: object | undefined;
}

/** The part of `location` that counts. */
export interface PageLocation {
  protocol: string;
  host: string;
}

/** The two absolute URLs: of the token request with the authentication as its query, and of the WebSocket. */
export interface Address {
  tokenUrl: string;
  socketUrl: string;
}

/**
 * Works out both URLs. What the host does not say comes from the page: its scheme, and all of it where no
 * host is given. Without a page the scheme is `http:`. Throws a TokenSocketError with code `options` where
 * there is no host to be had, or none that is one.
 */
export function address(place: Place, page: PageLocation | undefined): Address {
  const scheme = page?.protocol === "https:" ? "https:" : "http:";
  const host = place.host || (page?.protocol.startsWith("http") ? page.host : "");
  if (!host) throw new TokenSocketError("the option host is needed here: write it like https://host:port", "options");
  const [, given = scheme, rest] = /^(?:(\w+:)?\/\/)?(.*)/.exec(host) ?? [];
  let base: URL;
  try {
    base = new URL(`${given.replace(/^ws/i, "http")}//${rest}`);
    if (!base.protocol.startsWith("http")) throw 0;
  } catch {
    throw new TokenSocketError(`${host} is no host: write it like https://host:port`, "options");
  }
  if (place.port) base.port = `${place.port}`;
  const root = base.origin + base.pathname.replace(/\/+$/, "");
  const query = encodeForm(place.authentication ?? {});
  const tokenUrl = root + slash(place.tokenPath || "/socket/token");
  const socketUrl = root.replace(/^http/, "ws") + slash(place.socketPrefix || "/sockets").replace(/\/+$/, "");
  return {
    tokenUrl: query && tokenUrl + (tokenUrl.includes("?") ? "&" : "?") + query || tokenUrl,
    socketUrl: `${socketUrl}/websocket`,
  };
}

function slash(path: string): string {
  return path.startsWith("/") ? path : `/${path}`;
}
