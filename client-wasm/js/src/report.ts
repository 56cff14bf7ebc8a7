/**
 * Runs functions of the user. In: a function of the user's and its arguments. One that throws neither
 * breaks the client nor goes unnoticed: its error surfaces as an uncaught one of the page or process.
 */
export function run<A extends unknown[]>(callback: ((...args: A) => unknown) | undefined, ...args: A): void {
  try {
    callback?.(...args);
  } catch (error) {
    report(error);
  }
}

/** Lets an error surface as an uncaught one. */
export function report(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
