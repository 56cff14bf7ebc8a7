// The calls that were made before, to go back to as in a shell.
//
// In: calls as they were typed. Out: the one before, the one after. The newest is kept first and every
// call once.

import { kept } from "./kept";

export interface Typed {
  readonly action: string;
  readonly data: string;
}

const LONGEST = 100;

export class CallHistory {
  #calls: Typed[] = read();
  /** 0 is what is being typed now, 1 the newest. */
  #at = 0;
  #draft: Typed = { action: "", data: "" };

  add(call: Typed): void {
    this.#calls = [call, ...this.#calls.filter((known) => known.action !== call.action || known.data !== call.data)].slice(0, LONGEST);
    this.#at = 0;
    kept(sessionStorage, "calls", JSON.stringify(this.#calls));
  }

  /** One step back, to what was typed before `now`. */
  earlier(now: Typed): Typed | undefined {
    if (this.#at === 0) this.#draft = now;
    const same = this.#at === 0 && this.#calls[0]?.action === now.action && this.#calls[0].data === now.data;
    const call = this.#calls[this.#at + (same ? 1 : 0)];
    if (call) this.#at += same ? 2 : 1;
    return call;
  }

  /** One step towards what was being typed. */
  later(): Typed | undefined {
    if (this.#at === 0) return undefined;
    this.#at -= 1;
    return this.#at === 0 ? this.#draft : this.#calls[this.#at - 1];
  }
}

function read(): Typed[] {
  try {
    const known: unknown = JSON.parse(kept(sessionStorage, "calls") ?? "[]");
    return Array.isArray(known) ? known.filter((call): call is Typed => typeof call?.action === "string" && typeof call?.data === "string") : [];
  } catch {
    return [];
  }
}
