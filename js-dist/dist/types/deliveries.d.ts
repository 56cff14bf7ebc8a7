/** Why deliveries are lost to a device: see {@link TokenSocket.onResync}. */
export type ResyncReason = "order" | "overflow" | "expired" | "lost";
/** What the server says of this device. Comes on every connection, before what is delivered by it. */
export interface DeviceSettings {
    /** The device's name: the option `device`, or one that was made up. */
    device: string;
    /** For how many milliseconds the server remembers the device after its last connection ended. */
    deviceTtl: number;
    /** The server knew the device. If not, what was delivered while it was away is lost to it. */
    resumed: boolean;
}
/** Something that was delivered and is acknowledged by hand. */
export interface Delivery<A extends unknown[] = unknown[]> {
    readonly event: string;
    readonly args: A;
    /** It is handled: the server forgets it. */
    acknowledge(): void;
    /** It could not be handled: the server keeps it, and sends it again after the next reconnect. */
    giveBack(): void;
}
/** As the server sends it. */
interface Entry {
    event: string;
    args?: unknown[];
}
export declare class Deliveries {
    #private;
    constructor(settle: (id: number, done: boolean) => void);
    /** Handles an event by a function of its arguments; without an event, resyncs. */
    handle(event: string | undefined, handler: (...args: never[]) => unknown): () => void;
    /** Handles an event by a function that settles each delivery itself. */
    handleByHand(event: string, handler: (delivery: Delivery<never>) => unknown): () => void;
    deliver(id: number, { event, args }: Entry): void;
    resync(id: number, event: string | undefined, reason: ResyncReason): void;
    /** Nobody waits for any of it. */
    clear(): void;
}
export {};
