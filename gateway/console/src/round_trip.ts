// How long the server takes to answer, asked twice a second while somebody looks.

import type { Connection, State } from "./connection";
import { Signal } from "./signal";

/** One look at the connection. */
export interface Sample {
  /** Seconds since 1970. */
  readonly at: number;
  /** How long a call of `echo` took, or nothing when there was none. */
  readonly ms: number | null;
  readonly state: State;
}

const EVERY = 500;
const PATIENCE = 5_000;

export class RoundTrip {
  readonly samples = new Signal<Sample>();
  #asking = false;

  constructor(private readonly connection: Connection) {
    setInterval(() => void this.#look(), EVERY);
    connection.states.listen(() => this.#tell(null));
  }

  async #look(): Promise<void> {
    if (document.hidden || this.#asking) return;
    const socket = this.connection.socket;
    if (!socket || this.connection.state !== "ready") return this.#tell(null);
    this.#asking = true;
    const begun = performance.now();
    try {
      await socket.rpc("echo", null, { timeout: PATIENCE });
      this.#tell(performance.now() - begun);
    } catch {
      this.#tell(null);
    } finally {
      this.#asking = false;
    }
  }

  #tell(ms: number | null): void {
    this.samples.tell({ at: Date.now() / 1_000, ms, state: this.connection.state });
  }
}
