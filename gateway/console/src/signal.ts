// A thing that others listen to.

/** Tells its listeners of each value, in the order in which they came. */
export class Signal<T> {
  readonly #listeners: ((value: T) => void)[] = [];

  listen(listener: (value: T) => void): void {
    this.#listeners.push(listener);
  }

  tell(value: T): void {
    for (const listener of this.#listeners) listener(value);
  }
}
