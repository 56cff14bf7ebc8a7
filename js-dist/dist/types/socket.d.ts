import { type Delivery, type ResyncReason } from "./deliveries.js";
import { TokenSocketError } from "./error.js";
import type { Events } from "./events.js";
import { type Options } from "./options.js";
import { type HistoryPage, type Position, type Published } from "./position.js";
import { type Members } from "./presence.js";
import type { Subscription } from "./subscription.js";
import type { TransportName } from "./transports.js";
import type { Actions, BroadcastOf, CallArguments, Callback, CallOptions, ChannelName, DataOf, DeliveryArguments, DeliveryName, DoneCallback, Fixed, HistoryQuery, MessageArguments, MessageOf, Path, PresenceQuery, PublishOptions, ResultOf, SubscribeOptions } from "./types.js";
import { type State } from "./wasm/connection.js";
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
export declare class TokenSocket<ServerActions = unknown, ClientActions = unknown, ChannelMessages = unknown, DeviceEvents = unknown> {
    #private;
    /**
     * What the server may call. May be changed in place; {@link register} replaces it. Own properties only:
     * nothing inherited can be called.
     */
    actions: Actions<ClientActions>;
    /**
     * Starts to connect and returns at once; the WebAssembly part is loaded behind it, once per page. Throws a
     * {@link TokenSocketError} with code `options` when the options cannot work.
     */
    constructor(options?: Options, actions?: Actions<Fixed<ClientActions>>);
    /**
     * Where the socket stands: `connecting` (also while the WebAssembly part is loaded), `ready`, `disconnected`
     * (waiting to try again), or `ended` for good. The event `state` tells of changes.
     */
    get state(): State;
    /** By what it is connected; undefined unless the state is `ready`. */
    get transport(): TransportName | undefined;
    /**
     * Waits for the first attempt to connect: resolves when the socket is ready, rejects with a
     * {@link TokenSocketError} when the attempt failed (the socket still tries again, unless its state is
     * `ended`), or with code `ended` when the socket is ended before. Asked later, it settles at once.
     */
    ready(): Promise<void>;
    /** Calls back when the first attempt is over, or soon if it is, with an error when it failed. */
    ready(callback: (error?: TokenSocketError) => void): void;
    /** Adds a listener of the event `reconnect` and returns the function that removes it. */
    onreconnect(callback: (error?: TokenSocketError) => void): () => void;
    /** Adds a listener of the event `message` and returns the function that removes it. */
    onmessage(callback: (...args: MessageArguments<ChannelMessages>) => void): () => void;
    /** Adds a listener of an event and returns the function that removes it. */
    on<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): () => void;
    /** The same as {@link on}. */
    addListener<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): () => void;
    /** Adds a listener for the event's next time only and returns the function that removes it. */
    once<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): () => void;
    /** Removes a listener, however often it was added. */
    removeListener<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): this;
    /** The same as {@link removeListener}. */
    off<E extends keyof Events>(event: E, listener: (...args: Events<ChannelMessages>[E]) => void): this;
    /** Removes all listeners, or those of one event. */
    removeAllListeners(event?: keyof Events): this;
    /**
     * Calls an action of the server's by its dotted path.
     *
     * Resolves with the action's result. Rejects with a {@link TokenSocketError}: the server's, or with code
     * `timeout`, `cancelled`, `disconnected`, `overloaded`, `too_large`, `ended` or `wasm`. After `timeout` and
     * `disconnected` the server may have done what was asked.
     */
    rpc<P extends Path<ServerActions>>(path: P, ...args: CallArguments<ServerActions, P>): Promise<ResultOf<ServerActions, P>>;
    /** Calls an action and calls back with its outcome. */
    rpc<P extends Path<ServerActions>>(path: P, data: DataOf<ServerActions, P>, callback: Callback<ResultOf<ServerActions, P>>): void;
    /** Calls an action with settings of its own and calls back with its outcome. */
    rpc<P extends Path<ServerActions>>(path: P, data: DataOf<ServerActions, P>, options: CallOptions, callback: Callback<ResultOf<ServerActions, P>>): void;
    /** Replaces what the server may call. Calls that run go on. */
    register(actions: Actions<ClientActions>): void;
    /**
     * Follows a channel: its messages come as the event `message`, and from the subscription that is returned.
     * The callback, and the subscription's `ready`, tell whether the server agreed. A channel that is followed
     * already may be subscribed again.
     *
     * Where the server allows it, a name such as `news.*` or `news.>` stands for many channels: the event `message` tells
     * which one it was. What is missed of them while the connection is lost is not recovered.
     */
    subscribe<N extends ChannelName<ChannelMessages>>(channel: N, callback?: DoneCallback): Subscription<MessageOf<ChannelMessages, N>>;
    /** Follows a channel with its presence, or from a place in its history. */
    subscribe<N extends ChannelName<ChannelMessages>>(channel: N, options: SubscribeOptions, callback?: DoneCallback): Subscription<MessageOf<ChannelMessages, N>>;
    /** Stops following a channel and ends all its subscriptions. */
    unsubscribe(channel: ChannelName<ChannelMessages>): Promise<void>;
    /** Stops following a channel, ends all its subscriptions, and calls back with the outcome. */
    unsubscribe(channel: ChannelName<ChannelMessages>, callback: DoneCallback | undefined): void;
    /**
     * Publishes a message on a channel, for all who follow it at this moment, and where the channel has a history for those
     * who come back later. Resolves when the server has taken it, with its place; rejects with a
     * {@link TokenSocketError}, for instance with code `forbidden`. With a key it may be published again when no
     * answer came, and is one message all the same.
     */
    publish<N extends ChannelName<ChannelMessages>>(channel: N, data: MessageOf<ChannelMessages, N>, options?: PublishOptions): Promise<Published>;
    /** Publishes a message on a channel and calls back with the outcome. */
    publish<N extends ChannelName<ChannelMessages>>(channel: N, data: MessageOf<ChannelMessages, N>, callback: Callback<Published> | undefined): void;
    /** Publishes a message on a channel with settings of its own and calls back with the outcome. */
    publish<N extends ChannelName<ChannelMessages>>(channel: N, data: MessageOf<ChannelMessages, N>, options: PublishOptions, callback: Callback<Published> | undefined): void;
    /**
     * What a channel with history kept. Servers allow it to followers of the channel, unless they say otherwise.
     * Rejects with a {@link TokenSocketError}, for instance with code `forbidden`.
     */
    history<N extends ChannelName<ChannelMessages>>(channel: N, query?: HistoryQuery): Promise<HistoryPage<MessageOf<ChannelMessages, N>>>;
    /** Asks what a channel with history kept and calls back with it. */
    history<N extends ChannelName<ChannelMessages>>(channel: N, query: HistoryQuery, callback: Callback<HistoryPage<MessageOf<ChannelMessages, N>>>): void;
    /**
     * Who is on a channel with presence. Servers allow it to followers of the channel, unless they say otherwise.
     * Rejects with a {@link TokenSocketError}, for instance with code `forbidden`.
     */
    presence(channel: ChannelName<ChannelMessages>, query?: PresenceQuery): Promise<Members>;
    /** Asks who is on a channel with presence and calls back with it. */
    presence(channel: ChannelName<ChannelMessages>, query: PresenceQuery, callback: Callback<Members>): void;
    /**
     * The place behind the last message of a followed channel that was told by the event `message`; undefined on a
     * channel without history. Keep it when the page is left (`pagehide`), and say it as
     * {@link SubscribeOptions.since} to go on there after a reload.
     */
    position(channel: ChannelName<ChannelMessages>): Position | undefined;
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
    onDelivery<E extends DeliveryName<DeviceEvents>>(event: E, handler: (...args: DeliveryArguments<DeviceEvents, E>) => unknown): () => void;
    /**
     * Handles what is delivered to this device with this event, by a function that says itself, at any time, what it has
     * handled. The next one does not wait for that. One that throws gives the delivery back.
     */
    onDeliveryByHand<E extends DeliveryName<DeviceEvents>>(event: E, handler: (delivery: Delivery<DeliveryArguments<DeviceEvents, E>>) => unknown): () => void;
    /**
     * Handles resyncs: deliveries of an event, or of all events where it is undefined, are lost to this device, and what
     * they were about has to be fetched. The reason is `overflow` (too much was kept), `expired` (kept for too long),
     * `order` (another one was acknowledged first, where order matters) or `lost` (by the store). Acknowledged, repeated
     * and ordered as deliveries are.
     */
    onResync(handler: (event: DeliveryName<DeviceEvents> | undefined, reason: ResyncReason) => unknown): () => void;
    /** Publishes a message on all channels. Resolves when the server has taken it. */
    broadcast(data: BroadcastOf<ChannelMessages>): Promise<void>;
    /** Publishes a message on all channels and calls back with the outcome. */
    broadcast(data: BroadcastOf<ChannelMessages>, callback: DoneCallback | undefined): void;
    /** The channels that are followed, or will be once there is a connection. */
    channels(): ChannelName<ChannelMessages>[];
    /**
     * Ends the socket: what was sent before still goes out, every request that waits fails with code `ended`,
     * loops over subscriptions end, the connection is closed. Then everything that the socket held is released:
     * callbacks, promises, listeners, memory. Resolves when that is done. A socket that has ended stays so.
     */
    end(): Promise<void>;
    /** Ends the socket and calls back when that is done. */
    end(callback: (() => void) | undefined): void;
}
