import { deferred } from "./deferred.js";
import type { TokenSocketError } from "./error.js";
import { Mailbox } from "./mailbox.js";
import { covers } from "./pattern.js";
import { Subscription } from "./subscription.js";

interface Channel {
  /** Subscriptions that were made and not given up, whether or not somebody still holds them. */
  count: number;
  mailboxes: Set<Mailbox>;
}

/**
 * Whom to send to no more when a subscription is collected: one that nobody reads and nobody holds, as of who
 * subscribes only to hear the event `message`. A weak reference would do the same, at a cost for each message.
 */
const collected = new FinalizationRegistry<() => void>((forget) => forget());

/** A subscription that was just made, and how to tell it what the server says. */
export interface Joined {
  subscription: Subscription;
  confirmed(): void;
  refused(error: TokenSocketError): void;
}

/**
 * The subscriptions of one socket by channel. In: publications, and what the server says of subscriptions.
 * Out: to each subscription what concerns it; to the socket, which channel nobody wants any more.
 */
export class Channels {
  #channels = new Map<string, Channel>();
  /** The names that the server takes as patterns. */
  #patterns = new Set<string>();
  #unwanted: (name: string) => void;

  constructor(unwanted: (name: string) => void) {
    this.#unwanted = unwanted;
  }

  /** The names, oldest first. */
  names(): string[] {
    return [...this.#channels.keys()];
  }

  join(name: string): Joined {
    let channel = this.#channels.get(name);
    if (!channel) this.#channels.set(name, (channel = { count: 0, mailboxes: new Set() }));
    channel.count++;
    const { subscription, mailbox, confirmed, refuse } = this.#subscription(name, channel);
    return {
      subscription,
      confirmed,
      refused: (error) => {
        refuse(error);
        // The socket's end is a loop's end, not its failure.
        mailbox.finish(error.code === "ended" ? undefined : error);
        this.#drop(name, channel, mailbox);
      },
    };
  }

  deliver(name: string, message: unknown): void {
    const mailboxes = this.#channels.get(name)?.mailboxes;
    if (mailboxes) for (const mailbox of mailboxes) mailbox.push(message);
    if (this.#patterns.size) for (const mailbox of this.#covering(name)) mailbox.push(message);
  }

  /** What was missed of a channel comes at once. */
  recover(name: string, messages: unknown[]): void {
    const mailboxes = this.#channels.get(name)?.mailboxes ?? [];
    for (const mailbox of [...mailboxes, ...this.#covering(name)]) mailbox.recover(messages);
  }

  /** The server takes this name as a pattern: its readers get what it covers. */
  take(pattern: string): void {
    this.#patterns.add(pattern);
  }

  /** The channel is over, for all its subscriptions. */
  finish(name: string, error?: TokenSocketError): void {
    const channel = this.#channels.get(name);
    this.#forget(name);
    for (const mailbox of channel?.mailboxes ?? []) mailbox.finish(error);
  }

  /** All channels are over. */
  clear(): void {
    for (const name of this.names()) this.finish(name);
  }

  #subscription(name: string, channel: Channel) {
    const { promise, resolve, reject } = deferred<void>();
    const mailbox = new Mailbox();
    channel.mailboxes.add(mailbox);
    const subscription = new Subscription(name, promise, mailbox, () => {
      if (this.#drop(name, channel, mailbox)) this.#unwanted(name);
    });
    collected.register(subscription, () => channel.mailboxes.delete(mailbox));
    return { subscription, mailbox, confirmed: resolve as () => void, refuse: reject };
  }

  /** Says whether the channel is gone by that. */
  #drop(name: string, channel: Channel, mailbox: Mailbox): boolean {
    channel.mailboxes.delete(mailbox);
    const gone = --channel.count === 0 && this.#channels.get(name) === channel;
    if (gone) this.#forget(name);
    return gone;
  }

  #forget(name: string): void {
    this.#channels.delete(name);
    this.#patterns.delete(name);
  }

  /** Who reads a channel by a pattern. */
  #covering(name: string): Mailbox[] {
    const patterns = [...this.#patterns].filter((pattern) => pattern !== name && covers(pattern, name));
    return patterns.flatMap((pattern) => [...(this.#channels.get(pattern)?.mailboxes ?? [])]);
  }
}
