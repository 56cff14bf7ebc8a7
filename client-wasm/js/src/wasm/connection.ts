/**
 * The face of the WebAssembly part: what `client-wasm/src/bundle` exports, and what it wants to be given.
 * Nothing here is for users of the package.
 */
import type { TransportName } from "../transports.js";

/** Where a socket stands. */
export type State = "connecting" | "ready" | "disconnected" | "ended";

/** @internal One session with a server. Starts to connect when it is made. */
export interface Connection {
  /** Calls an action. `timeout` in milliseconds: `undefined` for the default, 0 for none. */
  call(id: number, path: string, data: unknown, timeout: number | undefined): void;
  subscribe(id: number, channel: string): void;
  unsubscribe(id: number, channel: string): void;
  publish(id: number, channel: string, data: unknown): void;
  broadcast(id: number, data: unknown): void;
  /** Gives a request up, also on the server. */
  cancel(id: number): void;
  /** Answers a call of the server's: the result, or the error as a string or an object. */
  answer(fid: string, ok: boolean, value: unknown): void;
  channels(): string[];
  state(): State;
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
  /** A channel is no longer followed, and nobody here asked for that. */
  lost(channel: string, message?: string, code?: string): void;
  /** The server calls an action. */
  invoke(fid: string, path: string, args: unknown, timeout?: number): void;
  /** The server no longer wants that answer. */
  cancelled(fid: string): void;
  /** All is closed. */
  ended(): void;
}
