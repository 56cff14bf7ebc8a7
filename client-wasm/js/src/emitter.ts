import { run } from "./report.js";

/** The events by name, each with the arguments of its listeners. */
type EventMap = Record<string, unknown[]>;

interface Entry {
  listener: (...args: never[]) => unknown;
  once: boolean;
}

/**
 * Listeners by event. In: listeners, and events with their arguments. Out: calls of the listeners in the
 * order in which they were added. A list is replaced when it changes, never written to, so a listener may
 * add and remove listeners: that counts from the next event on.
 */
export class Emitter<Events extends EventMap> {
  #lists = new Map<keyof Events, readonly Entry[]>();

  /** Adds a listener and gives the function that removes it. */
  add<E extends keyof Events>(event: E, listener: (...args: Events[E]) => unknown, once = false): () => void {
    if (typeof listener !== "function") throw new TypeError("a listener must be a function");
    const entry: Entry = { listener, once };
    this.#lists.set(event, [...(this.#lists.get(event) ?? []), entry]);
    return () => this.#keep(event, (other) => other !== entry);
  }

  /** Removes all of an event's entries with this listener. */
  remove(event: keyof Events, listener: (...args: never[]) => unknown): void {
    this.#keep(event, (entry) => entry.listener !== listener);
  }

  /** Removes all listeners, or those of one event. */
  clear(event?: keyof Events): void {
    if (event === undefined) this.#lists.clear();
    else this.#lists.delete(event);
  }

  /** Calls the event's listeners. One that throws does not keep the others from being called. */
  emit<E extends keyof Events>(event: E, ...args: Events[E]): void {
    for (const entry of this.#lists.get(event) ?? []) {
      if (entry.once) {
        // A listener before it may have emitted the event too.
        if (!this.#lists.get(event)?.includes(entry)) continue;
        this.#keep(event, (other) => other !== entry);
      }
      run(entry.listener as (...args: Events[E]) => unknown, ...args);
    }
  }

  #keep(event: keyof Events, wanted: (entry: Entry) => boolean): void {
    const kept = this.#lists.get(event)?.filter(wanted);
    if (kept?.length) this.#lists.set(event, kept);
    else this.#lists.delete(event);
  }
}
