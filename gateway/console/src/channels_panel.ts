// The channels that this page follows, how many messages each brought, and what the server knows of it.

import type { TokenSocket } from "tokensocket";

import { ChannelDetails } from "./channel_details";
import type { Connection } from "./connection";
import { button, find, make } from "./element";
import { failure } from "./failure";
import { Signal } from "./signal";

interface Followed {
  messages: number;
  /** What is said beside the name while it is not simply followed. */
  words: string;
  readonly count: HTMLElement;
  readonly details: ChannelDetails;
}

export class ChannelsPanel {
  /** Somebody wants to publish on this channel. */
  readonly chosen = new Signal<string>();
  readonly #list = find("channel-list", HTMLUListElement);
  readonly #total = find("channels-count", HTMLElement);
  readonly #field = find("channel", HTMLInputElement);
  readonly #channels = new Map<string, Followed>();

  constructor(private readonly connection: Connection) {
    find("follow-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.#field.value.trim();
      if (name === "" || this.#channels.has(name)) return this.#field.select();
      if (!connection.socket) return this.#refuse(name, "connect first");
      this.#field.value = "";
      this.#channels.set(name, this.#followed(name, "waiting"));
      this.chosen.tell(name);
      void this.#follow(connection.socket, name);
      this.#show();
    });
    connection.messages.listen(({ channel }) => {
      const followed = this.#channels.get(channel);
      if (!followed) return;
      followed.messages += 1;
      followed.count.textContent = String(followed.messages);
      followed.details.changed();
    });
    connection.presence.listen((name) => this.#channels.get(name)?.details.changed());
    connection.recovery.listen(({ channel, whole }) => {
      const followed = this.#channels.get(channel);
      if (!followed) return;
      followed.words = whole ? "" : "some messages were lost while this page was away";
      followed.details.changed();
      this.#show();
    });
    connection.replaced.listen((socket) => {
      if (!socket) this.#channels.clear();
      else for (const name of this.#channels.keys()) void this.#follow(socket, name);
      this.#show();
    });
    this.#show();
  }

  /** Follows until it is unsubscribed, refused or taken away. The messages are heard elsewhere. */
  async #follow(socket: TokenSocket, name: string): Promise<void> {
    const mine = () => this.connection.socket === socket;
    const channel = this.#channels.get(name);
    if (channel) channel.words = "waiting";
    try {
      const subscription = socket.subscribe(name, { presence: true });
      await subscription.ready;
      const followed = this.#channels.get(name);
      if (mine() && followed) followed.words = "";
      if (mine()) followed?.details.changed();
      this.#show();
      for await (const _ of subscription);
    } catch (thrown) {
      if (!mine()) return;
      const { message, code, advice } = failure(thrown);
      this.#refuse(name, `${message} (${code}). ${advice}`);
    }
  }

  #refuse(name: string, words: string): void {
    this.#channels.set(name, { ...(this.#channels.get(name) ?? this.#followed(name, words)), words });
    this.#show();
  }

  #followed(name: string, words: string): Followed {
    return { messages: 0, words, count: make("span", { class: "count" }, "0"), details: new ChannelDetails(this.connection, name) };
  }

  #leave(name: string): void {
    this.#channels.delete(name);
    if (this.connection.socket?.channels().includes(name)) this.connection.socket.unsubscribe(name);
    this.#show();
    this.#field.focus();
  }

  #show(): void {
    this.#total.textContent = this.#channels.size > 0 ? String(this.#channels.size) : "";
    this.#list.replaceChildren(...[...this.#channels].map(([name, followed]) => this.#item(name, followed)));
  }

  #item(name: string, { words, count, details }: Followed): HTMLElement {
    return make(
      "li",
      {},
      make("span", { class: "tag code", "data-hue": hue(name) }, name),
      count,
      make("span", { class: "words" }, words),
      button("Publish", () => this.chosen.tell(name), { class: "quiet", "aria-label": `Publish on ${name}` }),
      button("×", () => this.#leave(name), { class: "quiet", "aria-label": `Unsubscribe from ${name}`, title: "Unsubscribe" }),
      details.element,
    );
  }
}

/** One of eight colours, always the same for a name. */
export function hue(name: string): string {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 4_093;
  return String(sum % 8);
}
