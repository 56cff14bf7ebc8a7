// One connection over HTTP requests, in the shape of a WebSocket: SockJS's framing on its session's paths, one
// request for what comes and another for what goes. In: the WebSocket's URL, texts. Out: that it is open, texts,
// that it is closed, and why.
import { RECEIVERS } from "./receiving.js";
import { Sender } from "./sending.js";

// For balancers that tell sessions apart by it.
const server = () => String((Math.random() * 1000) | 0).padStart(3, "0");

// Whoever knows a session's name can read what is said in it.
const session = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

export class HttpSocket {
  onopen;
  onmessage;
  onclose;
  #requests = new AbortController();
  #sender;
  #isOpen = false;

  // The transport is one of the names of RECEIVERS.
  constructor(url, transport, { fetch, credentials }) {
    const { signal } = this.#requests;
    const base = `${url.replace(/^ws/, "http").replace(/websocket$/, "")}${server()}/${session()}/`;
    const ask = async (path, body) => {
      const get = fetch ?? globalThis.fetch;
      const answer = await get(base + path, { method: "POST", body, credentials, cache: "no-store", signal });
      if (!answer.ok) throw `${path} answered status ${answer.status}`;
      return answer;
    };
    const failed = (error) => this.#end(1006, String(error?.message ?? error));
    this.#sender = new Sender(async (body) => (await ask("xhr_send", body)).text(), failed);
    const heard = (frame) => this.#heard(frame);
    const receive = async () => {
      while (!signal.aborted) await RECEIVERS[transport]({ ask, heard, url: base, credentials, signal });
    };
    receive().catch(failed);
  }

  send(text) {
    this.#sender.send(text);
  }

  // With a code what was sent before still goes out; without, nothing does.
  close(code, reason) {
    const end = () => this.#end(code ?? 1006, reason);
    const last = code && this.#sender.busy;
    this.#sender.send = () => {};
    this.onopen = this.onmessage = undefined;
    if (last) last.then(end);
    else end();
  }

  #heard(frame) {
    if (this.#requests.signal.aborted) return;
    const kind = frame[0];
    if (kind === "o") {
      if (this.#isOpen) throw "the server lost the session";
      this.#isOpen = true;
      this.onopen?.();
    } else if (kind === "a") {
      for (const data of JSON.parse(frame.slice(1))) this.onmessage?.({ data });
    } else if (kind === "c") {
      this.#end(...JSON.parse(frame.slice(1)));
    }
  }

  #end(code, reason = "") {
    if (this.#requests.signal.aborted) return;
    this.#requests.abort();
    this.onclose?.({ code, reason });
  }
}
