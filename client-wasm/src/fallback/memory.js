// What worked instead of the first transport, for the next time: for all pages of the origin, or where there is no
// storage for as long as this lives. In: a server's URL, a transport's name. Out: the name, while it counts. Networks
// change, so it counts for an hour; then the first transport is tried again.
const LIFE = 3_600_000;

// A page may be denied its storage; Node.js warns about its own.
const stored = (action, ...given) => {
  try {
    return globalThis.document && localStorage[action](...given);
  } catch {
    return undefined;
  }
};

export class Memory {
  #key;
  #text;

  constructor(url) {
    // transport.js looks for the same key.
    this.#key = `tokensocket ${url}`;
  }

  recall() {
    const text = stored("getItem", this.#key) ?? this.#text ?? "";
    const [name, since] = text.split(" ");
    const age = Date.now() - since;
    return age >= 0 && age < LIFE ? name : undefined;
  }

  // The hour begins with the first time, so that a transport that works does not count for ever.
  keep(name) {
    if (this.recall() === name) return;
    this.#text = `${name} ${Date.now()}`;
    stored("setItem", this.#key, this.#text);
  }

  forget() {
    this.#text = undefined;
    stored("removeItem", this.#key);
  }
}
