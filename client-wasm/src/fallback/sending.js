// What goes up: texts, in order. In: texts. Out: one request at a time, each with all that waits as a JSON
// array, as far as it is not too much for one. Bounded: where more waits than the limit, it fails, since
// leaving out one text would leave the others without sense.

// In UTF-16 units, with quotes and escapes. A single text may be larger.
const REQUEST = 128 * 1024;
const LIMIT = 32 * 1024 * 1024;

export class Sender {
  // Resolves when nothing waits any more; undefined when nothing does.
  busy;
  #post;
  #failed;
  #waiting = [];
  #size = 0;

  // `post` sends a body and resolves once the server has it; `failed` is told why nothing more is sent.
  constructor(post, failed) {
    this.#post = post;
    this.#failed = failed;
  }

  send(text) {
    const quoted = JSON.stringify(text);
    if (this.#size > 0 && this.#size + quoted.length > LIMIT) return this.#failed("too much waits to be sent");
    this.#size += quoted.length;
    this.#waiting.push(quoted);
    this.busy ??= this.#run();
  }

  async #run() {
    try {
      // What is sent in one go is one request.
      await undefined;
      while (this.#waiting.length) await this.#post(`[${this.#take()}]`);
      this.busy = undefined;
    } catch (error) {
      this.#failed(error);
    }
  }

  #take() {
    let size = 0;
    let count = 0;
    do size += this.#waiting[count++].length;
    while (count < this.#waiting.length && size + this.#waiting[count].length <= REQUEST);
    this.#size -= size;
    return this.#waiting.splice(0, count);
  }
}
