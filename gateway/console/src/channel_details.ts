// What the server knows of a channel: who is there, and what it kept, newest first.
//
// In: a channel that this page follows. Out: a part of the page that asks when it is opened, and again when somebody
// comes or goes or a message comes, as long as it is open.

import type { HistoryPage, Members } from "tokensocket";

import type { Connection } from "./connection";
import { timeOfDay } from "./duration";
import { make } from "./element";
import { failure } from "./failure";
import { line } from "./json_view";

/** How many publications and how many members are shown. */
const MOST = 20;
/** Whatever happens meanwhile, it is asked once in so many ms. */
const PAUSE = 500;

export class ChannelDetails {
  readonly element: HTMLDetailsElement;
  readonly #here = make("p", { class: "hint" });
  readonly #kept = make("ol", { class: "log" });
  #due: number | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly name: string,
  ) {
    const title = make("summary", {}, "Who is here, and what is kept");
    this.element = make("details", { class: "known" }, title, this.#here, this.#kept);
    this.#kept.setAttribute("aria-label", `What the server kept of ${name}, newest first`);
    this.element.addEventListener("toggle", () => this.changed());
  }

  /** Something happened on the channel. */
  changed(): void {
    if (!this.element.open || this.#due !== undefined) return;
    this.#due = setTimeout(() => {
      this.#due = undefined;
      void this.#ask();
    }, this.#kept.childElementCount === 0 ? 0 : PAUSE);
  }

  async #ask(): Promise<void> {
    const { socket } = this.connection;
    if (!socket) return;
    const [here, kept] = await Promise.all([
      socket.presence(this.name, { limit: MOST }).then(who, words),
      socket.history(this.name, { limit: MOST, reverse: true }).then(items, (thrown) => [make("li", { class: "nothing" }, words(thrown))]),
    ]);
    this.#here.textContent = here;
    this.#kept.replaceChildren(...kept);
  }
}

function who({ clients, users, members, more }: Members): string {
  const names = members.map(({ client, user }) => user ?? client);
  const counts = `${clients} ${clients === 1 ? "connection" : "connections"} of ${users} ${users === 1 ? "user" : "users"}`;
  return `${counts}: ${names.join(", ")}${more ? " and more" : ""}`;
}

function items({ publications, more }: HistoryPage): HTMLElement[] {
  const shown = publications.map(({ offset, message, at }) =>
    make(
      "li",
      { class: "kept" },
      make("span", { class: "count" }, String(offset)),
      make("span", { class: "code text" }, line(message)),
      make("span", { class: "time" }, timeOfDay(new Date(at))),
    ),
  );
  if (shown.length === 0) return [make("li", { class: "nothing" }, "Nothing was published yet.")];
  return more ? [...shown, make("li", { class: "nothing" }, "and what is older")] : shown;
}

function words(thrown: unknown): string {
  const { message, code } = failure(thrown);
  return `${message} (${code})`;
}
