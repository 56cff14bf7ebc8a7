import type { TokenSocketError } from "./error.js";
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
    /** The socket's state has changed; with the transport when it is `ready`. */
    state: [state: State, transport?: TransportName];
    /** The connection was lost. `reconnect` follows, unless the state is `ended`. */
    disconnect: [error: TokenSocketError];
    /** A channel is no longer followed because the server wants it so, or refused it after a reconnect. */
    lost: [channel: ChannelName<M>, error: TokenSocketError];
};
