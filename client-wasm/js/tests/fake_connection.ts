/** A connection of the tests' own: writes down what it is told, and says what the test wants said. */
import type { Connection, Host, RawOptions } from "../src/wasm/connection.js";
import { useWasm, type WasmEntry } from "../src/wasm/load.js";

/** By the numbers of {@link CALL} and the others. */
const KINDS = ["call", "subscribe", "unsubscribe", "publish", "broadcast"];

export class FakeConnection implements Connection {
  static made: FakeConnection[] = [];
  /** What was called on it: the function's name and its arguments. */
  told: unknown[][] = [];
  freed = false;

  constructor(
    readonly options: RawOptions,
    readonly host: Host,
  ) {
    FakeConnection.made.push(this);
  }

  request(id: number, kind: number, ...args: unknown[]) {
    this.told.push([KINDS[kind], id, ...args]);
  }
  cancel(...args: unknown[]) {
    this.told.push(["cancel", ...args]);
  }
  answer(...args: unknown[]) {
    this.told.push(["answer", ...args]);
  }
  settle(...args: unknown[]) {
    this.told.push(["settle", ...args]);
  }
  position() {
    return { epoch: "e", offset: 1 };
  }
  channels() {
    return ["from the connection"];
  }
  end() {
    this.told.push(["end"]);
    this.host.state("ended");
    this.host.ended();
  }
  free() {
    this.freed = true;
  }

  /** The numbers of all requests of a kind. */
  ids(kind: string): number[] {
    return this.told.filter(([name]) => name === kind).map(([, id]) => id as number);
  }
}

/** The smallest WebAssembly module there is. */
export const EMPTY = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

/** Lets sockets use the fake connection; the options replace parts of the entry. */
export function useFake(entry: Partial<WasmEntry> = {}): void {
  FakeConnection.made = [];
  useWasm({ source: () => EMPTY, start: async () => FakeConnection, fallback: async () => {}, ...entry });
}

/** The connection of the last socket, once it is made. */
export async function connected(): Promise<FakeConnection> {
  for (;;) {
    const last = FakeConnection.made.at(-1);
    if (last) return last;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
