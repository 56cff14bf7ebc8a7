/** Somebody on a channel. */
export interface Member {
    /** The connection's id on the server; where all of a user's connections count as one, that of the first. */
    client: string;
    /** The user, if the connection has one. */
    user?: string;
    /** What the server tells of it. */
    info: unknown;
    /** Since when, in milliseconds since 1970. */
    since: number;
}
/** Who is on a channel, and how many. */
export interface Members {
    /** How many connections. */
    clients: number;
    /** How many different users; a connection without one counts as one. */
    users: number;
    /** Those that were asked for, oldest first. */
    members: Member[];
    /** There are more: ask for those after the last one's client. */
    more: boolean;
}
