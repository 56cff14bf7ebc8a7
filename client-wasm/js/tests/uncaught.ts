/** Runs something and gives the uncaught errors that surface soon after. */
export async function uncaught(run: () => void): Promise<unknown[]> {
  const seen: unknown[] = [];
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => seen.push(error));
  try {
    run();
    await turn();
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const other of others) process.on("uncaughtException", other);
  }
  return seen;
}

/** Waits until everything that could run now has run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
