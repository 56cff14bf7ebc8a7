import { TokenSocketError } from "./error.js";
import { type TransportName } from "./transports.js";
import { type WasmSource } from "./wasm/load.js";
/** How to reach the server, and how to behave. All times are in milliseconds. */
export interface Options {
    /**
     * The server: `host:port`, `//host`, or a URL with the scheme http, https, ws or wss and maybe a path in
     * front of {@link tokenPath} and {@link socketPrefix}. Without a scheme the page's counts. Default: where
     * the page comes from. Needed where there is no page, as in Node.js.
     */
    host?: string;
    /** The server's port, where {@link host} does not say it. Default: the scheme's. */
    port?: number | string;
    /** The path of the token request. Default: `/socket/token`. */
    tokenPath?: string;
    /** Where the server's sockets are; `/websocket` is added to it. Default: `/sockets`. */
    socketPrefix?: string;
    /**
     * What the server's authenticator gets to see, as the query of the token request; nested fields become
     * keys such as `a[b]`. Empty strings, `null` and `undefined` are left out. A query is likely to be logged
     * on its way: put secrets into cookies or {@link headers}. Default: nothing.
     */
    authentication?: object;
    /**
     * Whether to come back when the connection is lost: after 10 ms, 50 ms, 250 ms, 1.25 s, then every 5 s,
     * each plus up to half of it at random. Without it a lost connection is the socket's end. Default: true.
     */
    reconnect?: boolean;
    /**
     * How often to ask whether the server is there. A connection on which nothing follows within
     * {@link pongTimeout} is closed and opened anew. Default: as often as the server asks for; never with an
     * original server.
     */
    ping?: number | false;
    /** How long a ping may stay unanswered. Default: 10,000. */
    pongTimeout?: number;
    /** How long one attempt to connect may take, from the token request to ready. Default: 20,000. */
    connectTimeout?: number;
    /** How long a call may take that does not say itself, with the time it waits to be sent; `null` for ever. Default: 30,000. */
    callTimeout?: number | null;
    /** How many requests may wait for their answers at once; more of them wait in the queue. Default: 1,024. */
    maxInFlight?: number;
    /** How many requests may wait to be sent. Default: 1,024. */
    queueCalls?: number;
    /** How many bytes the requests that wait to be sent may have together. Default: 8 MiB. */
    queueBytes?: number;
    /**
     * Which request fails with code `overloaded` when the queue is full: the new one, or the oldest until the
     * new one fits. Default: `"refuse"`, the new one.
     */
    whenFull?: "refuse" | "drop-oldest";
    /** How many of the server's calls may run at once; more of them are answered with `overloaded`. Default: 64. */
    maxInvocations?: number;
    /**
     * How to ask for a token: `"cors"` by `fetch`, or `"jsonp"` by a script, for servers on other origins that
     * offer only that. Default: `"cors"`.
     */
    tokenRequest?: "cors" | "jsonp";
    /**
     * Which requests carry the visitor's cookies, as in `fetch`; a script always does. For `"include"` on another
     * origin the server must name this one. Default: `"same-origin"`.
     */
    credentials?: "omit" | "same-origin" | "include";
    /** Headers of the token request; not sent with `"jsonp"`. Default: none. */
    headers?: Record<string, string>;
    /**
     * The transports to use, best first. When nothing is heard by one, the next is tried in the same attempt: at once
     * where it fails, and otherwise after half of the time that the attempt has left for it and those behind it.
     * What worked is tried first for an hour, also by the origin's other pages; when it fails, the others follow from the
     * top. All but a WebSocket are HTTP requests, for which {@link credentials} and {@link fetch} count as well.
     * Default: `["websocket", "xhr-streaming", "xhr-polling"]`.
     */
    transports?: readonly TransportName[];
    /** Whether to tell the server which client this is; the original clients do not. Default: true. */
    hello?: boolean;
    /**
     * This device's name, 1 to 128 bytes of UTF-8: what is delivered to its user while it is away is kept for it by this
     * name. Sockets of one name are one device: each gets what is delivered while it is connected, and the first
     * acknowledgement counts for all. So give a name that is kept, such as one in `localStorage`, where a delivery is
     * to reach the visitor in one of the tabs, also after a reload. Default: a name made up for this socket, which lasts
     * as long as the socket: it outlives lost connections and no reload, and each tab is a device of its own.
     */
    device?: string;
    /** The class of WebSockets to use. Default: the global one; in Node.js without one, that of the package `ws`. */
    WebSocket?: new (url: string, protocols?: string[]) => object;
    /** What makes requests, for tokens and in place of a WebSocket. Default: the global `fetch`. */
    fetch?: (url: string, init?: RequestInit) => Promise<Response>;
    /**
     * Where to load the WebAssembly part from: its address, an answer of `fetch`, its bytes, or the compiled
     * module, or a promise of one of them. It is loaded once, for the first socket. Default: `tokensocket_bg.wasm`
     * beside the script; the entries for a plain script tag and `/inline` bring it along.
     */
    wasm?: WasmSource | PromiseLike<WasmSource>;
    /** A listener of the event `ready`, as {@link TokenSocket.ready} adds it. */
    ready?: (error?: TokenSocketError) => void;
    /** A listener of the event `reconnect`, as {@link TokenSocket.onreconnect} adds it. */
    onreconnect?: (error?: TokenSocketError) => void;
    /**
     * Settings of SockJS, which the original client takes. Only its `transports` counts, where {@link transports} is
     * not given: of SockJS's other transports the kind, such as `xhr-polling` for `jsonp-polling`.
     */
    sockjs?: unknown;
}
