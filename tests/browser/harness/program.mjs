// Our own server programs, built by cargo, each in a process of its own.
// In: the test that owns it and arguments. Out: where it listens, and ways to
// end it and to bring it back at the same port.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import path from "node:path";
import readline from "node:readline";

const BUILT = process.env.TOKENSOCKET_BIN_DIR ?? path.resolve(import.meta.dirname, "../../../target/debug");

/** The example `playground`: actions for every case, see examples/playground.rs. */
export function playground(t, ...options) {
  return Program.started(t, path.join("examples", "playground"), options);
}

/** `tokensocket serve`. */
export function gateway(t, ...options) {
  return Program.started(t, "tokensocket", ["serve", "--in-memory", ...options]);
}

/** Where a program of ours is. */
export function programPath(name) {
  return path.join(BUILT, name);
}

class Program {
  #path;
  #options;
  #process;
  /** Where it listens, as a page writes it. */
  origin;

  constructor(name, options) {
    this.#path = programPath(name);
    this.#options = options;
  }

  static async started(t, name, options) {
    const program = new Program(name, options);
    if (!existsSync(program.#path)) {
      throw new Error(`${name} is not built: cargo build -p tokensocket -p tokensocket-examples --bins --examples`);
    }
    t.after(() => program.stop());
    await program.start();
    return program;
  }

  /** The address without its scheme. */
  get host() {
    return new URL(this.origin).host;
  }

  get port() {
    return Number(new URL(this.origin).port);
  }

  /** Starts it; after `stop`, at the port it had before. */
  async start() {
    const listen = this.origin ? this.host : "127.0.0.1:0";
    const options = [...this.#options, "--listen", listen];
    this.#process = spawn(this.#path, options, { stdio: ["ignore", "pipe", "inherit"] });
    this.origin = await listeningAt(this.#process);
  }

  /** Ends it at once, as a crash would. */
  async stop() {
    const ending = this.#process;
    this.#process = undefined;
    if (ending && ending.exitCode === null && ending.signalCode === null) {
      const ended = once(ending, "exit");
      ending.kill("SIGKILL");
      await ended;
    }
  }

  async restart() {
    await this.stop();
    await this.start();
  }
}

/** The address in a program's line `listening on http://…`. */
export async function listeningAt(program) {
  const failed = new Promise((_, reject) => {
    program.once("error", reject);
    program.once("exit", (status) => reject(new Error(`the server ended with status ${status}`)));
  });
  failed.catch(() => {});
  const lines = readline.createInterface({ input: program.stdout });
  const said = new Promise((resolve) => {
    lines.on("line", (line) => {
      const origin = /listening on (http:\/\/\S+)/.exec(line)?.[1];
      if (origin) {
        resolve(origin);
      }
    });
  });
  return Promise.race([said, failed]);
}
