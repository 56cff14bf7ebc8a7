// The page's one connection: opened with what somebody typed, closed, opened again.
//
// In: an authentication object. Out: the socket, its state, and what happens to it.

import { TokenSocket, type UntypedActions } from "tokensocket";

import { failure, type Failure } from "./failure";
import { Signal } from "./signal";

export type State = "offline" | "connecting" | "ready" | "disconnected";

/** How often a connection is pinged that says nothing, in ms. */
const PING = 10_000;

export class Connection {
  /** Its state changed. */
  readonly states = new Signal<State>();
  /** It is ready, for the first time or again. */
  readonly ready = new Signal<TokenSocket>();
  /** An attempt failed. */
  readonly failed = new Signal<Failure>();
  /** A publication came. */
  readonly messages = new Signal<{ channel: string; message: unknown }>();
  /** Somebody came to this channel, or is gone from it. */
  readonly presence = new Signal<string>();
  /** A channel goes on after a reconnect: whole, or with messages missing. */
  readonly recovery = new Signal<{ channel: string; whole: boolean }>();
  /** There is another socket now, or none. */
  readonly replaced = new Signal<TokenSocket | undefined>();

  state: State = "offline";
  socket: TokenSocket | undefined;
  /** How often it became ready. */
  times = 0;
  /** When it became ready last. */
  since: Date | undefined;

  /** `actions` are what the server may call on this page. */
  constructor(private readonly actions: UntypedActions) {}

  open(authentication: Record<string, unknown>): void {
    this.#end();
    const socket = new TokenSocket<unknown, unknown>({ authentication, ping: PING }, this.actions);
    const current = <T>(then: (value: T) => void) => (value: T) => {
      if (this.socket === socket) then(value);
    };
    const opened = current((error: Error | null | undefined) => {
      if (error) return this.failed.tell(failure(error));
      this.times += 1;
      this.since = new Date();
      this.ready.tell(socket);
    });
    this.socket = socket;
    this.times = 0;
    socket.on("state", current((state) => this.#become(state === "ended" ? "offline" : state)));
    socket.on("message", (channel, message) => {
      if (this.socket === socket) this.messages.tell({ channel, message });
    });
    socket.on("join", current((channel: string) => this.presence.tell(channel)));
    socket.on("leave", current((channel: string) => this.presence.tell(channel)));
    socket.on("recovered", current((channel: string) => this.recovery.tell({ channel, whole: true })));
    socket.on("unrecovered", current((channel: string) => this.recovery.tell({ channel, whole: false })));
    socket.on("disconnect", current((error) => this.failed.tell(failure(error))));
    socket.ready(opened);
    socket.onreconnect(opened);
    this.#become("connecting");
    this.replaced.tell(socket);
  }

  close(): void {
    this.#end();
    this.replaced.tell(undefined);
    this.#become("offline");
  }

  #end(): void {
    const socket = this.socket;
    this.socket = undefined;
    this.since = undefined;
    socket?.end();
  }

  #become(state: State): void {
    if (state === this.state) return;
    this.state = state;
    this.states.tell(state);
  }
}
