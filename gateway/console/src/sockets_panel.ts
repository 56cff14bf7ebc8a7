// Who else lets itself be called through this server: other tabs of this page, and whoever offers actions.
//
// In: the server's list, asked for anew when it says that it changed. Out: buttons that call.

import type { TokenSocket } from "tokensocket";

import type { CallForm } from "./call_form";
import type { Connection } from "./connection";
import { button, find, make } from "./element";
import { kept } from "./kept";
import { SAMPLES } from "./page_actions";

/** On which channel the server tells that the list changed. */
export const CHANNEL = "sockets";

interface Entry {
  readonly socket: string;
  readonly user: string;
  readonly actions: readonly string[];
  readonly you: boolean;
}

export class SocketsPanel {
  readonly #list = find("sockets-list", HTMLUListElement);
  readonly #count = find("sockets-count", HTMLElement);
  readonly #hint = find("sockets-hint", HTMLElement);
  #shown = "";
  #asking = false;
  #due = false;
  readonly #offer = find("offer", HTMLInputElement);
  readonly #actions = Object.keys(SAMPLES);

  constructor(
    private readonly connection: Connection,
    private readonly form: CallForm,
  ) {
    this.#offer.checked = kept(sessionStorage, "offer") !== "no";
    this.#offer.addEventListener("change", () => {
      kept(sessionStorage, "offer", this.#offer.checked ? "yes" : "no");
      if (connection.socket) void this.#offerAndList(connection.socket);
    });
    connection.ready.listen((socket) => void this.#offerAndList(socket));
    connection.messages.listen(({ channel }) => {
      if (channel === CHANNEL) void this.#ask();
    });
    connection.states.listen((state) => {
      if (state !== "ready") this.#show([]);
    });
  }

  async #offerAndList(socket: TokenSocket): Promise<void> {
    try {
      await socket.rpc("sockets.offer", { actions: this.#offer.checked ? this.#actions : [] });
    } catch {
      // A server without this action has no list either.
    }
    await this.#ask();
  }

  /** Asks for the list, once more when it changed meanwhile. */
  async #ask(): Promise<void> {
    this.#due = true;
    if (this.#asking) return;
    this.#asking = true;
    while (this.#due) {
      this.#due = false;
      const socket = this.connection.socket;
      if (!socket) break;
      const entries = await socket.rpc("sockets.list").catch(() => []);
      if (this.connection.socket === socket) this.#show(Array.isArray(entries) ? entries.filter(isEntry) : []);
    }
    this.#asking = false;
  }

  #show(entries: readonly Entry[]): void {
    const ready = this.connection.state === "ready";
    const own = entries.find(({ you }) => you) ?? { socket: "", user: "", actions: this.#actions, you: true };
    const all = ready ? [own, ...entries.filter(({ you }) => !you)] : [];
    // What did not change keeps the focus that may be in it.
    const shown = JSON.stringify(all);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#hint.hidden = all.length !== 1;
    this.#count.textContent = all.length > 0 ? String(all.length) : "";
    this.#list.replaceChildren(...all.map((entry) => this.#item(entry)));
  }

  #item({ socket, user, actions, you }: Entry): HTMLElement {
    const name = you ? "this tab" : user || "nameless";
    const buttons = actions.map((action) =>
      button(action, () => this.form.call("sockets.call", { action, data: SAMPLES[action] ?? null, ...(you ? {} : { socket }) }), { "aria-label": `Call ${action} on ${name}` }),
    );
    return make("li", { class: you ? "own" : "" }, make("span", { class: "who", title: socket }, name), make("span", { class: "chips" }, ...buttons));
  }
}

function isEntry(entry: unknown): entry is Entry {
  if (typeof entry !== "object" || !entry) return false;
  const { socket, user, actions } = entry as Record<string, unknown>;
  return typeof socket === "string" && typeof user === "string" && Array.isArray(actions) && actions.every((name) => typeof name === "string");
}
