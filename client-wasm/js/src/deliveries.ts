/**
 * What was delivered to this device and waits for its handler: one after the other, in the order in which it came.
 * What has no handler yet waits aside and holds up nobody. In: deliveries and resyncs, handlers that come and go. Out:
 * calls of the handlers, and for each delivery whether it is handled or given back. Knows nothing of connections.
 */
import { report } from "./report.js";

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

interface Letter {
  id: number;
  /** Undefined for a resync, as in the map of handlers. */
  event: string | undefined;
  /** A delivery's arguments; of a resync: of which event, undefined for all, and why. */
  args: unknown[];
}

/** Handles a letter. Undefined: somebody settles it later. */
type Handle = (letter: Letter) => Promise<boolean> | undefined;

/** How many may wait. The server keeps what is beyond that, and sends it again after the next reconnect. */
const MOST = 100_000;

export class Deliveries {
  #handles = new Map<string | undefined, Handle>();
  #waiting: Letter[] = [];
  #busy = false;
  #settle: (id: number, done: boolean) => void;

  constructor(settle: (id: number, done: boolean) => void) {
    this.#settle = settle;
  }

  /** Handles an event by a function of its arguments; without an event, resyncs. */
  handle(event: string | undefined, handler: (...args: never[]) => unknown): () => void {
    return this.#add(event, handler, async ({ args }) => {
      await (handler as (...args: unknown[]) => unknown)(...args);
      return true;
    });
  }

  /** Handles an event by a function that settles each delivery itself. */
  handleByHand(event: string, handler: (delivery: Delivery<never>) => unknown): () => void {
    return this.#add(event, handler, ({ id, args }) => {
      const settle = this.#settle;
      handler({
        event,
        args: args as never,
        acknowledge: () => settle(id, true),
        giveBack: () => settle(id, false),
      });
      return undefined;
    });
  }

  deliver(id: number, { event, args = [] }: Entry): void {
    this.#push({ id, event, args });
  }

  resync(id: number, event: string | undefined, reason: ResyncReason): void {
    this.#push({ id, event: undefined, args: [event, reason] });
  }

  /** Nobody waits for any of it. */
  clear(): void {
    this.#waiting = [];
  }

  #add(event: string | undefined, handler: unknown, handle: Handle): () => void {
    if (typeof handler !== "function") throw new TypeError("a handler must be a function");
    this.#handles.set(event, handle);
    void this.#run();
    return () => {
      if (this.#handles.get(event) === handle) this.#handles.delete(event);
    };
  }

  #push(letter: Letter): void {
    if (this.#waiting.length >= MOST) return this.#settle(letter.id, false);
    this.#waiting.push(letter);
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (;;) {
      const at = this.#waiting.findIndex(({ event }) => this.#handles.has(event));
      const [letter] = at < 0 ? [] : this.#waiting.splice(at, 1);
      if (!letter) break;
      try {
        if (await this.#handles.get(letter.event)?.(letter)) this.#settle(letter.id, true);
      } catch (error) {
        report(error);
        this.#settle(letter.id, false);
      }
    }
    this.#busy = false;
  }
}
