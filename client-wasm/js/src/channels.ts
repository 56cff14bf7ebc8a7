import { deferred } from "./deferred.js";
import type { TokenSocketError } from "./error.js";
import { Mailbox } from "./mailbox.js";
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
  }

  /** The channel is over, for all its subscriptions. */
  finish(name: string, error?: TokenSocketError): void {
    const channel = this.#channels.get(name);
    this.#channels.delete(name);
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
    if (gone) this.#channels.delete(name);
    return gone;
  }
}
