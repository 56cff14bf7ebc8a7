/**
 * Runs functions of the user. In: a function of the user's and its arguments. One that throws neither
 * breaks the client nor goes unnoticed: its error surfaces as an uncaught one of the page or process.
 */
export function run<A extends unknown[]>(callback: ((...args: A) => unknown) | undefined, ...args: A): void {
  try {
    callback?.(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
