// The form that publishes on a channel, or on all of them.

import type { ChannelsPanel } from "./channels_panel";
import type { Connection } from "./connection";
import { duration } from "./duration";
import { find, make } from "./element";
import { failure } from "./failure";
import { JsonField } from "./json_field";

export class PublishForm {
  readonly #channel = find("publish-channel", HTMLInputElement);
  readonly #message = new JsonField("message");
  readonly #outcome = find("publish-outcome", HTMLElement);

  constructor(
    private readonly connection: Connection,
    channels: ChannelsPanel,
  ) {
    const form = find("publish-form", HTMLFormElement);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const channel = this.#channel.value.trim();
      if (channel === "") return this.#channel.focus();
      void this.#send(async (socket, data) => {
        const { position } = await socket.publish(channel, data);
        return `published on ${channel}${position ? ` as number ${position.offset}` : ""}`;
      });
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    find("broadcast", HTMLButtonElement).addEventListener("click", () => {
      void this.#send(async (socket, data) => {
        await socket.broadcast(data);
        return "broadcast to every channel";
      });
    });
    channels.chosen.listen((name) => (this.#channel.value = name));
  }

  /** `send` gives what to say when it is done. */
  async #send(send: (socket: NonNullable<Connection["socket"]>, data: unknown) => Promise<string>): Promise<void> {
    const data = this.#message.take();
    if (!data) return;
    const begun = performance.now();
    try {
      if (!this.connection.socket) throw new Error("There is no connection: press Connect.");
      const words = await send(this.connection.socket, data.value);
      this.#say("done", words, duration(performance.now() - begun));
    } catch (thrown) {
      const { message, code, advice } = failure(thrown);
      this.#say("failed", `${message} (${code}). ${advice}`, "");
    }
  }

  #say(outcome: string, words: string, time: string): void {
    this.#outcome.className = `outcome ${outcome}`;
    this.#outcome.replaceChildren(make("span", {}, words), make("span", { class: "time" }, time));
  }
}
