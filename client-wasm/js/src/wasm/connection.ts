/**
 * The face of the WebAssembly part: what `client-wasm/src/bundle` exports, and what it wants to be given.
 * Nothing here is for users of the package.
 */
import type { ResyncReason } from "../deliveries.js";
import type { Position } from "../position.js";
import type { TransportName } from "../transports.js";

/** Where a socket stands. */
export type State = "connecting" | "ready" | "disconnected" | "ended";

/** @internal The kinds of requests. */
export const [CALL, SUBSCRIBE, UNSUBSCRIBE, PUBLISH, BROADCAST] = [0, 1, 2, 3, 4] as const;

/** @internal One session with a server. Starts to connect when it is made. */
export interface Connection {
  /**
   * Makes a request. `name` is the action's or the channel's. `text` and `number` are a publication's key, or a place
   * in a channel's history, or a call's time limit in milliseconds: `undefined` or `NaN` for the default, 0 for none.
   */
  request(
    id: number,
    kind: number,
    name: string,
    data?: unknown,
    text?: string,
    number?: number,
    presence?: boolean,
  ): void;
  /** Gives a request up, also on the server. */
  cancel(id: number): void;
  /** Answers a call of the server's: the result, or the error as a string or an object. */
  answer(fid: string, ok: boolean, value: unknown): void;
  /** A delivery or a resync is handled, or given back. */
  settle(id: number, done: boolean): void;
  /** The place behind the last message that was told. */
  position(channel: string): Position | undefined;
  channels(): string[];
  /** Ends it; {@link Host.ended} follows. */
  end(): void;
  /** Gives its memory back. Nothing may be called after it. */
  free(): void;
}

/** @internal How the exported class is made. */
export type ConnectionClass = new (options: RawOptions, host: Host) => Connection;

/** @internal The options as the WebAssembly part reads them; times in milliseconds. */
export interface RawOptions {
  tokenUrl: string;
  socketUrl: string;
  tokenRequest: "cors" | "jsonp";
  reconnect: boolean;
  hello: boolean;
  version: string;
  device?: string | undefined;
  ping?: number | undefined;
  pongTimeout?: number | undefined;
  connectTimeout?: number | undefined;
  callTimeout?: number | null | undefined;
  maxInFlight?: number | undefined;
  queueCalls?: number | undefined;
  queueBytes?: number | undefined;
  whenFull?: "refuse" | "drop-oldest" | undefined;
  maxInvocations?: number | undefined;
  headers?: Record<string, string> | undefined;
  WebSocket?: unknown;
  fetch?: unknown;
  transports?: readonly TransportName[] | undefined;
  /** Loads what is needed where there is no WebSocket to be had. Without it there is nothing but a WebSocket. */
  fallback?: (() => Promise<unknown>) | undefined;
  /** Written by the WebAssembly part: the transport by which something was heard last. */
  transport?: TransportName;
}

/** @internal What a connection tells. No function of it may throw. */
export interface Host {
  /** A request is done. Comes exactly once for each, maybe before the request's own function returns. */
  settled(id: number, ok: boolean, value: unknown, message?: string, code?: string, details?: unknown): void;
  state(name: string): void;
  /** The first attempt to connect is over; no argument says that it succeeded. */
  ready(message?: string, code?: string): void;
  /** A later attempt is over. */
  reconnect(message?: string, code?: string): void;
  disconnected(message: string, code: string): void;
  message(channel: string, data: unknown): void;
  /** What was missed of a channel, all of it. */
  recovered(channel: string, messages?: unknown[]): void;
  unrecovered(channel: string): void;
  /** The server takes a channel's name as a pattern. */
  pattern(channel: string): void;
  /** Somebody came or left: the whole message that says so. */
  member(_: undefined, message: { command: "join" | "leave"; data: { channel: string; member: unknown } }): void;
  /** `ttl` in seconds. */
  settings(device: string, resumed: boolean, ttl: number): void;
  batch(_: undefined, __: undefined, deliveries: number): void;
  delivery(_: undefined, entry: { event: string; args?: unknown[] }, id: number): void;
  resync(event: string | undefined, reason: ResyncReason, id: number): void;
  /** A channel is no longer followed, and nobody here asked for that. */
  lost(channel: string, message?: string, code?: string): void;
  /** The server calls an action. */
  invoke(fid: string, path: string, args: unknown, timeout?: number): void;
  /** The server no longer wants that answer. */
  cancelled(fid: string): void;
  /** All is closed. */
  ended(): void;
}
