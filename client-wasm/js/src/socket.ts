import type { PageLocation } from "./address.js";
import { Channels } from "./channels.js";
import { deferred } from "./deferred.js";
import { Deliveries, type Delivery, type ResyncReason } from "./deliveries.js";
import { Early, type Send } from "./early.js";
import { Emitter } from "./emitter.js";
import { reason, TokenSocketError } from "./error.js";
import type { Events } from "./events.js";
import { Invocations } from "./invocations.js";
import { rawOptions, type Options } from "./options.js";
import { historyPage, published, type HistoryPage, type Position, type Published } from "./position.js";
import { members, type Member, type Members } from "./presence.js";
import { run } from "./report.js";
import { aborted, Requests, type Settle } from "./requests.js";
import type { Subscription } from "./subscription.js";
import type { TransportName } from "./transports.js";
import type {
  Actions,
  BroadcastOf,
  CallArguments,
  Callback,
  CallOptions,
  ChannelName,
  DataOf,
  DeliveryArguments,
  DeliveryName,
  DoneCallback,
  Fixed,
  HistoryQuery,
  MessageArguments,
  MessageOf,
  Path,
  PresenceQuery,
  PublishOptions,
  ResultOf,
  SubscribeOptions,
} from "./types.js";
import {
  BROADCAST,
  CALL,
  PUBLISH,
  SUBSCRIBE,
  UNSUBSCRIBE,
  type Connection,
  type ConnectionClass,
  type Host,
  type RawOptions,
  type State,
} from "./wasm/connection.js";
import { load } from "./wasm/load.js";

/**
 * A connection to a TokenSocket server that comes back by itself: calls in both directions, and channels.
 *
 * ```ts
 * const socket = new TokenSocket({ host: "http://127.0.0.1:1337" }, { greet: (name) => `hello ${name}` });
 * await socket.ready();
 * console.log(await socket.rpc("echo", { a: 1 }));
 * for await (const message of socket.subscribe("news")) console.log(message);
 * ```
 *
 * Four interfaces check what is said: `ServerActions` what the server offers, as a nested interface of
 * functions `(data) => result`, whose dotted paths are the names of calls; `ClientActions` what the server
 * may call, in the same way; `ChannelMessages` what is published, by channel (keys such as
 * `` [room: `room:${string}`] `` work too); `DeviceEvents` the arguments of what is delivered, by event. What is left
 * out is any string and `unknown`.
 *
 * Calls that are made while there is no connection wait in a bounded queue, in order. A call whose answer did
 * not come before the connection was lost fails with code `disconnected`; it is not made again, since the
 * server may have done what was asked. Channels are subscribed again after a reconnect, and where the server keeps
 * their history what was published meanwhile comes first: see the events `recovered` and `unrecovered`.
 *
 * Where a function takes a callback and none is given, it returns a promise. A promise that nobody looks at
 * fails in silence, as does a call without a callback. A callback or listener that throws does not harm the
 * socket: its error surfaces as an uncaught one.
 */
export class TokenSocket<
  ServerActions = unknown,
  ClientActions = unknown,
  ChannelMessages = unknown,
  DeviceEvents = unknown,
> {
  /**
   * What the server may call. May be changed in place; {@link register} replaces it. Own properties only:
   * nothing inherited can be called.
   */
  actions: Actions<ClientActions>;

  #state: State = "connecting";
  #raw: RawOptions;
  /** Undefined before the WebAssembly part is loaded, and after the end. */
  #connection: Connection | undefined;
  #emitter = new Emitter<Events>();
  #requests = new Requests();
  #early: Early;
  #channels = new Channels((name) => this.unsubscribe(name as ChannelName<ChannelMessages>));
  #deliveries = new Deliveries((id, done) => this.#connection?.settle(id, done));
  #invocations = new Invocations((fid, ok, value) => this.#connection?.answer(fid, ok, value));
  #ready = deferred<void>();
  /** Whether the outcome of the first attempt is known. */
  #settled = false;
  #ended = deferred<void>();
  /** Why every request fails from now on. */
  #over: TokenSocketError | undefined;
  /** Whether the user ended the socket. */
  #ending = false;

  /**
   * Starts to connect and returns at once; the WebAssembly part is loaded behind it, once per page. Throws a
   * {@link TokenSocketError} with code `options` when the options cannot work.
   */
  constructor(options: Options = {}, actions?: Actions<Fixed<ClientActions>>) {
    this.#raw = rawOptions(options, (globalThis as { location?: PageLocation }).location);
    this.actions = (actions ?? {}) as Actions<ClientActions>;
    this.#early = new Early(options, (id, error) => this.#requests.settle(id, error));
    if (options.ready) this.ready(options.ready);
    if (options.onreconnect) this.onreconnect(options.onreconnect);
    load(options.wasm).then(
      (Connection) => this.#connect(Connection),
      (error: TokenSocketError) => this.#fail(error),
    );
  }

  /**
   * Where the socket stands: `connecting` (also while the WebAssembly part is loaded), `ready`, `disconnected`
   * (waiting to try again), or `ended` for good. The event `state` tells of changes.
   */
  get state(): State {
    return this.#state;
  }

  /** By what it is connected; undefined unless the state is `ready`. */
  get transport(): TransportName | undefined {
    return this.#state === "ready" ? this.#raw.transport : undefined;
  }

  /**
   * Waits for the first attempt to connect: resolves when the socket is ready, rejects with a
   * {@link TokenSocketError} when the attempt failed (the socket still tries again, unless its state is
   * `ended`), or with code `ended` when the socket is ended before. Asked later, it settles at once.
   */
  ready(): Promise<void>;
  /** Calls back when the first attempt is over, or soon if it is, with an error when it failed. */
  ready(callback: (error?: TokenSocketError) => void): void;
  ready(callback?: (error?: TokenSocketError) => void): Promise<void> | undefined {
    const { promise } = this.#ready;
    if (!callback) return promise;
    if (this.#settled) promise.then(() => run(callback), (error: TokenSocketError) => run(callback, error));
    else this.once("ready", callback);
    return undefined;
  }

  /** Adds a listener of the event `reconnect` and returns the function that removes it. */
  onreconnect(callback: (error?: TokenSocketError) => void): () => void {
    return this.on("reconnect", callback);
  }

  /** Adds a listener of the event `message` and returns the function that removes it. */
  onmessage(callback: (...args: MessageArguments<ChannelMessages>) => void): () => void {
    return this.on("message", callback);
  }

  /** Adds a listener of an event and returns the function that removes it. */
  on<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): () => void {
    return this.#emitter.add(event, listener as (...args: Events[E]) => void);
  }

  /** The same as {@link on}. */
  addListener<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): () => void {
    return this.on(event, listener);
  }

  /** Adds a listener for the event's next time only and returns the function that removes it. */
  once<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): () => void {
    return this.#emitter.add(event, listener as (...args: Events[E]) => void, true);
  }

  /** Removes a listener, however often it was added. */
  removeListener<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): this {
    this.#emitter.remove(event, listener);
    return this;
  }

  /** The same as {@link removeListener}. */
  off<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): this {
    return this.removeListener(event, listener);
  }

  /** Removes all listeners, or those of one event. */
  removeAllListeners(event?: keyof Events): this {
    this.#emitter.clear(event);
    return this;
  }

  /**
   * Calls an action of the server's by its dotted path.
   *
   * Resolves with the action's result. Rejects with a {@link TokenSocketError}: the server's, or with code
   * `timeout`, `cancelled`, `disconnected`, `overloaded`, `too_large`, `ended` or `wasm`. After `timeout` and
   * `disconnected` the server may have done what was asked.
   */
  rpc<P extends Path<ServerActions>>(path: P, ...args: CallArguments<ServerActions, P>): Promise<ResultOf<ServerActions, P>>;
  /** Calls an action and calls back with its outcome. */
  rpc<P extends Path<ServerActions>>(
    path: P,
    data: DataOf<ServerActions, P>,
    callback: Callback<ResultOf<ServerActions, P>>,
  ): void;
  /** Calls an action with settings of its own and calls back with its outcome. */
  rpc<P extends Path<ServerActions>>(
    path: P,
    data: DataOf<ServerActions, P>,
    options: CallOptions,
    callback: Callback<ResultOf<ServerActions, P>>,
  ): void;
  rpc(path: string, data?: unknown, options?: CallOptions | Callback<never>, callback?: Callback<never>): unknown {
    const [settle, settings] = split<CallOptions, Callback<never>>(options, callback);
    return this.#request(
      (connection, id, timeout) => connection.request(id, CALL, path, data, undefined, timeout),
      settle as Settle | undefined,
      settings,
    );
  }

  /** Replaces what the server may call. Calls that run go on. */
  register(actions: Actions<ClientActions>): void {
    this.actions = actions;
  }

  /**
   * Follows a channel: its messages come as the event `message`, and from the subscription that is returned.
   * The callback, and the subscription's `ready`, tell whether the server agreed. A channel that is followed
   * already may be subscribed again.
   *
   * Where the server allows it, a name such as `news.*` or `news.>` stands for many channels: the event `message` tells
   * which one it was. What is missed of them while the connection is lost is not recovered.
   */
  subscribe<N extends ChannelName<ChannelMessages>>(
    channel: N,
    callback?: DoneCallback,
  ): Subscription<MessageOf<ChannelMessages, N>>;
  /** Follows a channel with its presence, or from a place in its history. */
  subscribe<N extends ChannelName<ChannelMessages>>(
    channel: N,
    options: SubscribeOptions,
    callback?: DoneCallback,
  ): Subscription<MessageOf<ChannelMessages, N>>;
  subscribe(channel: string, options?: SubscribeOptions | DoneCallback, callback?: DoneCallback): Subscription<any> {
    const [done, { presence, since }] = split<SubscribeOptions, DoneCallback>(options, callback);
    const { subscription, confirmed, refused } = this.#channels.join(channel);
    this.#request(
      (connection, id) => connection.request(id, SUBSCRIBE, channel, null, since?.epoch, since?.offset, presence),
      (error) => {
        if (error) refused(error);
        else confirmed();
        run(done, error);
      },
    );
    return subscription;
  }

  /** Stops following a channel and ends all its subscriptions. */
  unsubscribe(channel: ChannelName<ChannelMessages>): Promise<void>;
  /** Stops following a channel, ends all its subscriptions, and calls back with the outcome. */
  unsubscribe(channel: ChannelName<ChannelMessages>, callback: DoneCallback | undefined): void;
  unsubscribe(channel: string, callback?: DoneCallback): unknown {
    this.#channels.finish(channel);
    return this.#request((connection, id) => connection.request(id, UNSUBSCRIBE, channel), callback);
  }

  /**
   * Publishes a message on a channel, for all who follow it at this moment, and where the channel has a history for those
   * who come back later. Resolves when the server has taken it, with its place; rejects with a
   * {@link TokenSocketError}, for instance with code `forbidden`. With a key it may be published again when no
   * answer came, and is one message all the same.
   */
  publish<N extends ChannelName<ChannelMessages>>(
    channel: N,
    data: MessageOf<ChannelMessages, N>,
    options?: PublishOptions,
  ): Promise<Published>;
  /** Publishes a message on a channel and calls back with the outcome. */
  publish<N extends ChannelName<ChannelMessages>>(
    channel: N,
    data: MessageOf<ChannelMessages, N>,
    callback: Callback<Published> | undefined,
  ): void;
  /** Publishes a message on a channel with settings of its own and calls back with the outcome. */
  publish<N extends ChannelName<ChannelMessages>>(
    channel: N,
    data: MessageOf<ChannelMessages, N>,
    options: PublishOptions,
    callback: Callback<Published> | undefined,
  ): void;
  publish(channel: string, data: unknown, options?: PublishOptions | Callback<Published>, callback?: Callback<Published>): unknown {
    const [done, { key }] = split<PublishOptions, Callback<Published>>(options, callback);
    return this.#request((connection, id) => connection.request(id, PUBLISH, channel, data, key), done as Settle, {}, published);
  }

  /**
   * What a channel with history kept. Servers allow it to followers of the channel, unless they say otherwise.
   * Rejects with a {@link TokenSocketError}, for instance with code `forbidden`.
   */
  history<N extends ChannelName<ChannelMessages>>(
    channel: N,
    query?: HistoryQuery,
  ): Promise<HistoryPage<MessageOf<ChannelMessages, N>>>;
  /** Asks what a channel with history kept and calls back with it. */
  history<N extends ChannelName<ChannelMessages>>(
    channel: N,
    query: HistoryQuery,
    callback: Callback<HistoryPage<MessageOf<ChannelMessages, N>>>,
  ): void;
  history(channel: string, query?: HistoryQuery, callback?: Callback<never>): unknown {
    return this.#ask("_history", { channel, ...query }, historyPage, callback);
  }

  /**
   * Who is on a channel with presence. Servers allow it to followers of the channel, unless they say otherwise.
   * Rejects with a {@link TokenSocketError}, for instance with code `forbidden`.
   */
  presence(channel: ChannelName<ChannelMessages>, query?: PresenceQuery): Promise<Members>;
  /** Asks who is on a channel with presence and calls back with it. */
  presence(channel: ChannelName<ChannelMessages>, query: PresenceQuery, callback: Callback<Members>): void;
  presence(channel: string, query?: PresenceQuery, callback?: Callback<Members>): unknown {
    return this.#ask("_presence", { channel, ...query }, members, callback as Callback<never>);
  }

  /**
   * The place behind the last message of a followed channel that was told by the event `message`; undefined on a
   * channel without history. Keep it when the page is left (`pagehide`), and say it as
   * {@link SubscribeOptions.since} to go on there after a reload.
   */
  position(channel: ChannelName<ChannelMessages>): Position | undefined {
    return this.#connection?.position(channel);
  }

  /**
   * Handles what is delivered to this device with this event, by a function of the delivery's arguments. It takes the
   * place of an earlier one; the function that is returned removes it.
   *
   * The server keeps a delivery until the function has returned, or the promise that it returned has resolved. When it
   * fails the error surfaces as an uncaught one, and the delivery comes again after the next reconnect. Handlers run
   * one after the other, in the server's order. What comes for an event without a handler waits for one. A delivery
   * comes once for as long as this socket lives, and again to a page that is loaded before the acknowledgement
   * reached the server and says the same {@link Options.device}.
   */
  onDelivery<E extends DeliveryName<DeviceEvents>>(
    event: E,
    handler: (...args: DeliveryArguments<DeviceEvents, E>) => unknown,
  ): () => void {
    return this.#deliveries.handle(event, handler);
  }

  /**
   * Handles what is delivered to this device with this event, by a function that says itself, at any time, what it has
   * handled. The next one does not wait for that. One that throws gives the delivery back.
   */
  onDeliveryByHand<E extends DeliveryName<DeviceEvents>>(
    event: E,
    handler: (delivery: Delivery<DeliveryArguments<DeviceEvents, E>>) => unknown,
  ): () => void {
    return this.#deliveries.handleByHand(event, handler);
  }

  /**
   * Handles resyncs: deliveries of an event, or of all events where it is undefined, are lost to this device, and what
   * they were about has to be fetched. The reason is `overflow` (too much was kept), `expired` (kept for too long),
   * `order` (another one was acknowledged first, where order matters) or `lost` (by the store). Acknowledged, repeated
   * and ordered as deliveries are.
   */
  onResync(handler: (event: DeliveryName<DeviceEvents> | undefined, reason: ResyncReason) => unknown): () => void {
    return this.#deliveries.handle(undefined, handler);
  }

  /** Publishes a message on all channels. Resolves when the server has taken it. */
  broadcast(data: BroadcastOf<ChannelMessages>): Promise<void>;
  /** Publishes a message on all channels and calls back with the outcome. */
  broadcast(data: BroadcastOf<ChannelMessages>, callback: DoneCallback | undefined): void;
  broadcast(data: unknown, callback?: DoneCallback): unknown {
    return this.#request((connection, id) => connection.request(id, BROADCAST, "", data), callback);
  }

  /** The channels that are followed, or will be once there is a connection. */
  channels(): ChannelName<ChannelMessages>[] {
    return (this.#connection?.channels() ?? this.#channels.names()) as ChannelName<ChannelMessages>[];
  }

  /**
   * Ends the socket: what was sent before still goes out, every request that waits fails with code `ended`,
   * loops over subscriptions end, the connection is closed. Then everything that the socket held is released:
   * callbacks, promises, listeners, memory. Resolves when that is done. A socket that has ended stays so.
   */
  end(): Promise<void>;
  /** Ends the socket and calls back when that is done. */
  end(callback: (() => void) | undefined): void;
  end(callback?: () => void): Promise<void> | undefined {
    const { promise } = this.#ended;
    if (!this.#ending && !this.#over) {
      this.#ending = true;
      for (const event of ["ready", "reconnect", "message"] as const) this.#emitter.clear(event);
      this.#channels.clear();
      if (this.#connection) this.#connection.end();
      else this.#finish(ended());
    }
    if (!callback) return promise;
    promise.then(() => run(callback));
    return undefined;
  }

  #connect(Connection: ConnectionClass): void {
    if (this.#over) return;
    try {
      this.#connection = new Connection(this.#raw, this.#host());
    } catch (cause) {
      return this.#fail(new TokenSocketError(`the options cannot work: ${reason(cause)}`, "options", { cause }));
    }
    this.#early.drain((id, send, timeout) => this.#send(id, send, timeout));
  }

  /** There will be no connection. */
  #fail(error: TokenSocketError): void {
    if (this.#over) return;
    this.#firstAttempt(error);
    this.#finish(error);
  }

  /** Makes a request of the server itself. */
  #ask(request: string, data: object, read: Read, callback?: Callback<never>): unknown {
    return this.#request((connection, id) => connection.request(id, CALL, request, data), callback as Settle, {}, read);
  }

  /** Makes a request; without a callback its outcome is the promise. */
  #request(send: Send, callback?: Settle, options?: CallOptions, read: Read = (value) => value): Promise<unknown> | undefined {
    if (callback) {
      this.#open(send, (error, value) => (error ? run(callback, error) : run(callback, null, read(value))), options);
      return undefined;
    }
    const { promise, resolve, reject } = deferred<unknown>();
    this.#open(send, (error, value) => (error ? reject(error) : resolve(read(value))), options);
    return promise;
  }

  #open(send: Send, settle: Settle, options: CallOptions = {}): void {
    const { signal } = options;
    const id = this.#requests.open(settle, signal, (aborted) => {
      this.#early.drop(aborted);
      this.#connection?.cancel(aborted);
    });
    const timeout = options.timeout === Infinity ? 0 : options.timeout;
    const failure = signal?.aborted ? aborted(signal) : this.#over;
    // Later, so that nobody is called back before the function returns.
    if (failure) queueMicrotask(() => this.#requests.settle(id, failure));
    else if (this.#connection) this.#send(id, send, timeout);
    else this.#early.push(id, send, timeout);
  }

  #send(id: number, send: Send, timeout: number | undefined): void {
    try {
      if (this.#connection) send(this.#connection, id, timeout);
      else this.#requests.settle(id, this.#over ?? ended());
    } catch (cause) {
      const why = `this cannot be sent: ${reason(cause)}`;
      this.#requests.settle(id, new TokenSocketError(why, "bad_request", { cause }));
    }
  }

  /** What the connection calls. Nothing in it throws: functions of the user's go through `run`. */
  #host(): Host {
    return {
      settled: (id, ok, error, message = "the request failed", code, details) =>
        ok
          ? this.#requests.settle(id, null, error)
          : this.#requests.settle(id, new TokenSocketError(message, code, { details, error })),
      state: (state) => this.#enter(state as State),
      ready: (...failure) => this.#firstAttempt(failed(...failure)),
      reconnect: (...failure) => {
        const error = failed(...failure);
        if (!error) this.#outcome();
        this.#emitter.emit("reconnect", ...some(error));
      },
      disconnected: (message, code) => this.#emitter.emit("disconnect", new TokenSocketError(message, code)),
      message: (channel, message) => {
        this.#channels.deliver(channel, message);
        this.#emitter.emit("message", channel, message);
      },
      recovered: (channel, messages = []) => {
        this.#channels.recover(channel, messages);
        for (const message of messages) this.#emitter.emit("message", channel, message);
        this.#emitter.emit("recovered", channel);
      },
      unrecovered: (channel) => this.#emitter.emit("unrecovered", channel),
      pattern: (channel) => this.#channels.take(channel),
      member: (_, { command, data }) => this.#emitter.emit(command, data.channel, data.member as Member),
      settings: (device, resumed, ttl) => this.#emitter.emit("settings", { device, deviceTtl: ttl * 1000, resumed }),
      batch: (_, __, deliveries) => this.#emitter.emit("batch", deliveries),
      delivery: (_, entry, id) => this.#deliveries.deliver(id, entry),
      resync: (event, reason, id) => this.#deliveries.resync(id, event, reason),
      lost: (channel, message = "the server ended the subscription", code = "closed") => {
        const error = new TokenSocketError(message, code);
        this.#channels.finish(channel, error);
        this.#emitter.emit("lost", channel, error);
      },
      invoke: (fid, path, data) => this.#invocations.start(this.actions, fid, path, data),
      cancelled: (fid) => this.#invocations.cancel(fid),
      ended: () => this.#finish(ended()),
    };
  }

  #enter(state: State): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#emitter.emit("state", state, ...some(this.transport));
  }

  /** The first attempt is over. */
  #firstAttempt(error?: TokenSocketError): void {
    this.#outcome(error);
    this.#emitter.emit("ready", ...some(error));
  }

  /** Keeps what `ready` says from now on. */
  #outcome(error?: TokenSocketError): void {
    if (this.#settled) this.#ready = deferred();
    this.#settled = true;
    if (error) this.#ready.reject(error);
    else this.#ready.resolve();
  }

  /** Nothing follows: lets go of everything. */
  #finish(error: TokenSocketError): void {
    if (this.#over) return;
    this.#over = error;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#early.drain(() => {});
    this.#requests.fail(error);
    this.#channels.clear();
    this.#invocations.clear();
    this.#deliveries.clear();
    if (this.#ending || !this.#settled) this.#outcome(error);
    this.#enter("ended");
    this.#emitter.clear();
    this.#ended.resolve();
    // Later, since it may be the connection itself that called.
    if (connection) queueMicrotask(() => connection.free());
  }
}

/** Makes of the server's answer what the user gets. */
type Read = (answer: unknown) => unknown;

/** The callback and the settings, of which each may be left out. */
function split<O extends object, C>(options: O | C | undefined, callback: C | undefined): [C | undefined, Partial<O>] {
  return typeof options === "function" ? [options as C, {}] : [callback, (options ?? {}) as Partial<O>];
}

function ended(): TokenSocketError {
  return new TokenSocketError("the socket has ended", "ended");
}

function failed(message?: string, code?: string): TokenSocketError | undefined {
  return message === undefined ? undefined : new TokenSocketError(message, code);
}

/** No argument at all rather than `undefined`. */
function some<T>(value: T | undefined): [value?: T] {
  return value ? [value] : [];
}
