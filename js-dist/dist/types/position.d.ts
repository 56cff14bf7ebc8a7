/** A place in a channel's history: behind the message `offset` of `epoch`. */
export interface Position {
    /** Names one unbroken run of offsets; another epoch has nothing to do with it. */
    epoch: string;
    /** Counts 1, 2, 3; 0 is the place before the first message. */
    offset: number;
}
/** What became of a message that was published. */
export interface Published {
    /** Its place, on a channel with history. */
    position?: Position | undefined;
    /** A message of the same key had been published before; nothing was published now. */
    duplicate: boolean;
}
/** A part of a channel's history. */
export interface HistoryPage<M = unknown> {
    /** Where the channel stood when this was read: behind its last message. */
    position: Position;
    /** In order, or in reverse order; `at` is in milliseconds since 1970. */
    publications: {
        offset: number;
        message: M;
        at: number;
    }[];
    /** Something is missing between the place from which it was to be read and the first that is kept. */
    gap: boolean;
    /** There is more than the limit let through: go on from the last one's place. */
    more: boolean;
}
