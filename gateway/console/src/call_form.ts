// The form that calls an action.
//
// In: what somebody types, or another panel puts in. Out: a call in the log of answers.

import type { AnswerLog } from "./answer_log";
import { CallHistory, type Typed } from "./call_history";
import type { Connection } from "./connection";
import { button, find } from "./element";
import { JsonField } from "./json_field";

/** What to try the actions of an open server with. */
const SAMPLES: Readonly<Record<string, unknown>> = {
  echo: { hello: "world" },
  "sockets.call": { action: "greet", data: "you" },
  "sockets.offer": { actions: ["greet", "notify", "confirm"] },
};

export class CallForm {
  readonly #action = find("action", HTMLInputElement);
  readonly #data = new JsonField("data");
  readonly #timeout = find("timeout", HTMLInputElement);
  readonly #suggestions = find("suggestions", HTMLElement);
  readonly #form = find("call-form", HTMLFormElement);
  readonly #history = new CallHistory();

  constructor(
    private readonly connection: Connection,
    private readonly answers: AnswerLog,
  ) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#form.addEventListener("keydown", (event) => this.#key(event));
    answers.again.listen((typed) => this.fill(typed));
    connection.ready.listen((socket) => {
      void socket.rpc("actions").then((names) => this.#suggest(names), () => this.#suggest([]));
    });
    this.fill({ action: "echo", data: JSON.stringify(SAMPLES["echo"]) });
  }

  /** Puts a call into the form, to be changed and sent. */
  fill({ action, data }: Typed): void {
    this.#action.value = action;
    this.#data.text = data;
  }

  /** Puts a call into the form and sends it. */
  call(action: string, data: unknown): void {
    this.fill({ action, data: JSON.stringify(data) });
    this.#send();
  }

  #send(): void {
    const typed = { action: this.#action.value.trim(), data: this.#data.text };
    const data = this.#data.take();
    if (!data) return;
    if (typed.action === "") return this.#action.focus();
    this.#history.add(typed);
    const timeout = Number.parseInt(this.#timeout.value, 10);
    this.answers.call(this.connection, typed, data.value, Number.isFinite(timeout) && timeout > 0 ? timeout : 0);
  }

  #suggest(names: unknown): void {
    const known = Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
    this.#suggestions.replaceChildren(
      ...known.slice(0, 40).map((name) =>
        button(name, () => {
          const sample = SAMPLES[name];
          this.fill({ action: name, data: sample === undefined ? "" : JSON.stringify(sample) });
          this.#data.area.focus();
        }),
      ),
    );
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.#form.requestSubmit();
    } else if (event.key === "Escape") {
      this.answers.cancelNewest();
    } else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && !event.shiftKey && !event.altKey && this.#leaves(event)) {
      const typed = { action: this.#action.value, data: this.#data.text };
      const call = event.key === "ArrowUp" ? this.#history.earlier(typed) : this.#history.later();
      if (!call) return;
      event.preventDefault();
      this.fill(call);
      if (event.target === this.#data.area) this.#data.area.setSelectionRange(0, event.key === "ArrowUp" ? 0 : call.data.length);
    }
  }

  /** Whether the caret cannot go further up or down in the field that it is in. */
  #leaves(event: KeyboardEvent): boolean {
    if (event.target === this.#action) return true;
    if (event.target !== this.#data.area) return false;
    const { value, selectionStart, selectionEnd } = this.#data.area;
    if (selectionStart !== selectionEnd) return false;
    return event.key === "ArrowUp" ? !value.slice(0, selectionStart).includes("\n") : !value.slice(selectionEnd).includes("\n");
  }
}
