// The panel and the header that say how the connection is, and the form that opens it.

import type { Connection, State } from "./connection";
import { timeOfDay } from "./duration";
import { button, find, make } from "./element";
import type { Failure } from "./failure";
import { JsonField } from "./json_field";
import { kept } from "./kept";

const WORDS: Readonly<Record<State, string>> = {
  offline: "not connected",
  connecting: "connecting",
  ready: "ready",
  disconnected: "reconnecting",
};

export class ConnectionPanel {
  readonly #user = find("user", HTMLInputElement);
  readonly #more = new JsonField("authentication");
  readonly #state = find("state", HTMLElement);
  readonly #error = find("connection-error", HTMLElement);
  readonly #connect = find("connect", HTMLButtonElement);
  readonly #disconnect = find("disconnect", HTMLButtonElement);
  readonly #facts = find("facts", HTMLElement);
  #socketId = "";

  constructor(private readonly connection: Connection) {
    this.#user.value = kept(sessionStorage, "user") ?? someName();
    find("connect-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.connect();
    });
    this.#disconnect.addEventListener("click", () => {
      this.#hide();
      connection.close();
      this.#connect.focus();
    });
    connection.states.listen((state) => this.#show(state));
    connection.failed.listen((failure) => this.#complain(failure));
    connection.ready.listen((socket) => {
      this.#hide();
      this.#show(connection.state);
      void socket.rpc("whoami").then(
        (who) => {
          this.#socketId = typeof who === "object" && who && "socket" in who ? String(who.socket) : "";
          this.#show(connection.state);
        },
        () => undefined,
      );
    });
  }

  /** Connects as the form says. */
  connect(): void {
    const more = this.#more.take();
    if (!more) return;
    const object = more.value ?? {};
    if (typeof object !== "object" || Array.isArray(object)) {
      this.#more.area.focus();
      return this.#say("The authentication must be a JSON object, such as {\"team\": \"blue\"}.");
    }
    const user = this.#user.value.trim();
    kept(sessionStorage, "user", user);
    this.#hide();
    this.#socketId = "";
    document.title = user ? `${user} · TokenSocket console` : "TokenSocket console";
    this.connection.open({ ...(user ? { user } : {}), ...object });
  }

  #show(actual: State): void {
    // An attempt to come back is no news to whoever listens to a screen reader.
    const state = actual === "connecting" && this.connection.times > 0 ? "disconnected" : actual;
    if (this.#state.textContent !== WORDS[state]) this.#state.textContent = WORDS[state];
    this.#state.dataset["state"] = state;
    this.#connect.textContent = state === "offline" ? "Connect" : "Connect anew";
    this.#disconnect.hidden = state === "offline";
    const facts: [string, string][] = [];
    if (state === "ready") {
      if (this.#socketId) facts.push(["Socket", this.#socketId]);
      if (this.connection.since) facts.push(["Ready since", timeOfDay(this.connection.since)]);
      if (this.connection.times > 1) facts.push(["Reconnected", `${this.connection.times - 1} ×`]);
    }
    this.#facts.replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  }

  #complain({ code, message, advice }: Failure): void {
    this.#error.replaceChildren(
      make("p", {}, make("strong", {}, message), " ", make("code", { class: "code-name" }, code)),
      make("p", {}, advice),
      button("Try again now", () => this.connect()),
    );
    this.#error.hidden = false;
  }

  #say(words: string): void {
    this.#error.replaceChildren(make("p", {}, words));
    this.#error.hidden = false;
  }

  #hide(): void {
    this.#error.hidden = true;
    this.#error.replaceChildren();
  }
}

function someName(): string {
  const names = ["ada", "alan", "barbara", "dennis", "edsger", "grace", "katherine", "ken", "margaret", "radia"];
  return names[Math.floor(Math.random() * names.length)] ?? "ada";
}
