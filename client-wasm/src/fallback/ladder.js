// Which transport is tried next. In: which ones there are, best first, and what became of each. Out: a name.
// It opens nothing and knows no clock.
//
// One attempt to connect goes down the ladder until a transport brings a message. What worked is kept for the
// next time; when that fails, the others are tried from the top. When all have failed it is not them that is
// at fault, and the next attempt begins at the top.
const TRANSPORTS = ["websocket", "xhr-streaming", "xhr-polling"];

export class Ladder {
  // A WebSocket may have been tried before there was a ladder.
  #name = TRANSPORTS[0];
  #names;
  #memory;
  #failed = new Set();

  constructor(names, memory) {
    this.#names = names?.length ? [...new Set(names)] : TRANSPORTS;
    this.#memory = memory;
  }

  next() {
    const left = this.#names.filter((name) => !this.#failed.has(name));
    const kept = this.#memory.recall();
    return (this.#name = left.includes(kept) ? kept : left[0]);
  }

  // Which part of an attempt's time that one may be silent: each of them half of what is left; 0: to the end.
  get patience() {
    const tried = this.#failed.size + 1;
    return tried < this.#names.length ? 0.5 ** tried : 0;
  }

  // Whether there is another.
  failed() {
    if (this.#memory.recall() === this.#name) this.#memory.forget();
    this.#failed.add(this.#name);
    const isLeft = this.#names.some((name) => !this.#failed.has(name));
    if (!isLeft) this.#failed.clear();
    return isLeft;
  }

  // Which one it was.
  worked() {
    this.#failed.clear();
    if (this.#name === this.#names[0]) this.#memory.forget();
    else this.#memory.keep(this.#name);
    return this.#name;
  }
}
