// A Chromium for measuring, driven over the DevTools protocol with as little of
// it as possible: Playwright watches the network, which costs a page more for
// each message than the message itself. In: an owner with `after`. Out: pages
// that run expressions and tell how busy and how large they are.

import { WebSocket } from "ws";
import { launch } from "../harness/launch.mjs";

/** A Chromium that nobody else is connected to. */
export async function measuredChromium(owner) {
  const { endpoint, end } = await launch();
  owner.after(end);
  const socket = new WebSocket(endpoint, { perMessageDeflate: false, maxPayload: 1 << 28 });
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  owner.after(() => socket.close());
  return new Devtools(socket);
}

class Devtools {
  #socket;
  #last = 0;
  #answers = new Map();
  #events = new Set();

  constructor(socket) {
    this.#socket = socket;
    socket.on("message", (text) => this.#hear(JSON.parse(text)));
  }

  async version() {
    const { product } = await this.send("Browser.getVersion");
    return product.replace("/", " ");
  }

  /** A page in a profile of its own, loaded. */
  async open(url) {
    const { browserContextId } = await this.send("Target.createBrowserContext");
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId, browserContextId);
    await page.send("Page.enable");
    const loaded = this.event("Page.loadEventFired", sessionId);
    await page.send("Page.navigate", { url });
    await loaded;
    await page.send("Page.disable");
    return page;
  }

  send(method, params = {}, sessionId = undefined) {
    this.#last += 1;
    const id = this.#last;
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve, reject) => this.#answers.set(id, { resolve, reject }));
  }

  event(method, sessionId) {
    return new Promise((resolve) => this.#events.add({ method, sessionId, resolve }));
  }

  #hear({ id, result, error, method, sessionId }) {
    if (id !== undefined) {
      const { resolve, reject } = this.#answers.get(id);
      this.#answers.delete(id);
      if (error) {
        reject(new Error(error.message));
      } else {
        resolve(result);
      }
      return;
    }
    for (const event of this.#events) {
      if (event.method === method && event.sessionId === sessionId) {
        this.#events.delete(event);
        event.resolve();
      }
    }
  }
}

class Page {
  #devtools;
  #session;
  #context;

  constructor(devtools, session, context) {
    this.#devtools = devtools;
    this.#session = session;
    this.#context = context;
  }

  send(method, params) {
    return this.#devtools.send(method, params, this.#session);
  }

  /** Runs a function of the page and returns what it resolves to. */
  async run(action, ...given) {
    const expression = `(${action})(...${JSON.stringify(given)})`;
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", options);
    if (exceptionDetails) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  /** Seconds of CPU time that the page's main thread has taken so far. */
  async busy() {
    await this.send("Performance.enable", { timeDomain: "threadTicks" });
    const { metrics } = await this.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration").value;
  }

  /** Bytes of the engine's heap that are in use. */
  async heap() {
    await this.send("HeapProfiler.collectGarbage");
    await this.send("HeapProfiler.collectGarbage");
    const { usedSize } = await this.send("Runtime.getHeapUsage");
    return usedSize;
  }

  close() {
    return this.#devtools.send("Target.disposeBrowserContext", { browserContextId: this.#context });
  }
}
