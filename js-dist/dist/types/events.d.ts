import type { DeviceSettings } from "./deliveries.js";
import type { TokenSocketError } from "./error.js";
import type { Member } from "./presence.js";
import type { TransportName } from "./transports.js";
import type { ChannelName, MessageArguments } from "./types.js";
import type { State } from "./wasm/connection.js";
/** The events of a socket, each with the arguments of its listeners. */
export type Events<M = unknown> = {
    /** The first attempt to connect is over; with an error when it failed. Comes once. */
    ready: [error?: TokenSocketError];
    /** A later attempt to connect is over; with an error when it failed. */
    reconnect: [error?: TokenSocketError];
    /** A message was published on a channel that is followed. */
    message: MessageArguments<M>;
    /** After a reconnect a channel with history goes on without a gap: what was missed came before this, as messages. */
    recovered: [channel: ChannelName<M>];
    /**
     * Messages of a channel with history are lost, because the server does not keep them any more or began anew; of one
     * without history some may be, because the server was cut off from others: fetch what they were about. What is
     * published from now on follows.
     */
    unrecovered: [channel: ChannelName<M>];
    /** Somebody came to a channel that is followed with {@link SubscribeOptions.presence}. */
    join: [channel: ChannelName<M>, member: Member];
    /** Somebody is gone from such a channel. */
    leave: [channel: ChannelName<M>, member: Member];
    /** What the server says of this device, on every connection. */
    settings: [settings: DeviceSettings];
    /** So many deliveries follow that were kept while this device was away, without those that it handled before. */
    batch: [deliveries: number];
    /** The socket's state has changed; with the transport when it is `ready`. */
    state: [state: State, transport?: TransportName];
    /** The connection was lost. `reconnect` follows, unless the state is `ended`. */
    disconnect: [error: TokenSocketError];
    /** A channel is no longer followed because the server wants it so, or refused it after a reconnect. */
    lost: [channel: ChannelName<M>, error: TokenSocketError];
};
