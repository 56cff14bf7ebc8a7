// What was published on the channels that this page follows: newest first, the last 500.
//
// In: messages, maybe thousands a second. Out: a list that changes at most once per frame. While it is
// paused, messages still come in; they are shown when it goes on, as far as they are among the last 500.

import { hue } from "./channels_panel";
import type { Connection } from "./connection";
import { timeOfDay } from "./duration";
import { find, make } from "./element";
import { line, view } from "./json_view";
import { CHANNEL } from "./sockets_panel";

interface Entry {
  readonly at: Date;
  readonly channel: string;
  readonly message: unknown;
  item?: HTMLElement;
}

const MOST = 500;

export class MessageLog {
  readonly #list = find("message-log", HTMLOListElement);
  readonly #count = find("messages-count", HTMLElement);
  readonly #filter = find("filter", HTMLInputElement);
  readonly #pause = find("pause", HTMLButtonElement);
  /** Newest last. */
  #entries: Entry[] = [];
  #received = 0;
  #whilePaused = 0;
  #paused = false;
  #due = false;

  constructor(connection: Connection) {
    connection.messages.listen(({ channel, message }) => {
      if (channel === CHANNEL && !connection.socket?.channels().includes(CHANNEL)) return;
      this.#entries.push({ at: new Date(), channel, message });
      if (this.#entries.length > MOST * 2) this.#entries.splice(0, this.#entries.length - MOST);
      this.#received += 1;
      if (this.#paused) this.#whilePaused += 1;
      this.#soon();
    });
    this.#filter.addEventListener("input", () => this.#soon());
    this.#pause.addEventListener("click", () => this.togglePause());
    find("messages-clear", HTMLButtonElement).addEventListener("click", () => {
      this.#entries = [];
      this.#received = 0;
      this.#whilePaused = 0;
      this.#show();
    });
    this.#show();
  }

  togglePause(): void {
    this.#paused = !this.#paused;
    this.#whilePaused = 0;
    this.#pause.setAttribute("aria-pressed", String(this.#paused));
    this.#pause.textContent = this.#paused ? "Go on" : "Pause";
    this.#soon();
  }

  #soon(): void {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      if (this.#paused) this.#sayCount();
      else this.#show();
    });
  }

  #show(): void {
    const wanted = this.#filter.value.trim().toLowerCase();
    const last = this.#entries.slice(-MOST).reverse();
    const shown = wanted === "" ? last : last.filter(({ channel, message }) => `${channel} ${JSON.stringify(message)}`.toLowerCase().includes(wanted));
    const items = shown.map((entry) => (entry.item ??= item(entry)));
    // What is there already stays, so that an open message stays open and a focused one focused.
    const keep = new Set<Element>(items);
    for (const old of [...this.#list.children]) if (!keep.has(old)) old.remove();
    let next: Element | null = this.#list.firstElementChild;
    for (const wantedItem of items) {
      if (wantedItem === next) next = next.nextElementSibling;
      else this.#list.insertBefore(wantedItem, next);
    }
    if (items.length === 0) {
      const words = this.#entries.length === 0 ? "No messages yet. Subscribe to a channel, then publish on it." : "No message contains this.";
      this.#list.append(make("li", { class: "nothing" }, words));
    }
    this.#sayCount(items.length);
  }

  #sayCount(shown = this.#list.querySelectorAll(".message").length): void {
    const missing = this.#paused && this.#whilePaused > 0 ? `, ${this.#whilePaused} while paused` : "";
    this.#count.textContent = this.#received === 0 ? "" : `${shown === this.#received ? "" : `${shown} of `}${this.#received}${missing}`;
  }
}

function item({ at, channel, message }: Entry): HTMLElement {
  const details = make("details", {}, make("summary", {}, make("span", { class: "tag code", "data-hue": hue(channel) }, channel), make("span", { class: "code text" }, line(message)), make("span", { class: "time" }, timeOfDay(at))));
  details.addEventListener("toggle", () => details.append(view(message)), { once: true });
  return make("li", { class: "message" }, details);
}
