import { deferred } from "./deferred.js";
import type { TokenSocketError } from "./error.js";
import { Subscription } from "./subscription.js";

/**
 * A subscription as its channel knows it. One that nobody reads and nobody holds may be collected, so that
 * who subscribes only to hear the event `message` pays for no buffer.
 */
class Place {
  #weak: WeakRef<Subscription>;
  #held: Subscription | undefined;

  constructor(subscription: Subscription) {
    this.#weak = new WeakRef(subscription);
  }

  hold(): void {
    this.#held = this.#weak.deref();
  }

  get(): Subscription | undefined {
    return this.#held ?? this.#weak.deref();
  }
}

interface Channel {
  /** Subscriptions that were made and not given up, whether or not somebody still holds them. */
  count: number;
  places: Set<Place>;
}

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
    if (!channel) this.#channels.set(name, (channel = { count: 0, places: new Set() }));
    channel.count++;
    const { subscription, place, confirmed, refuse } = this.#subscription(name, channel);
    channel.places.add(place);
    return {
      subscription,
      confirmed,
      refused: (error) => {
        refuse(error);
        // The socket's end is a loop's end, not its failure.
        place.get()?.finish(error.code === "ended" ? undefined : error);
        this.#drop(name, channel, place);
      },
    };
  }

  deliver(name: string, message: unknown): void {
    const places = this.#channels.get(name)?.places;
    if (!places) return;
    for (const place of places) {
      const subscription = place.get();
      if (subscription) subscription.push(message);
      else places.delete(place);
    }
  }

  /** The channel is over, for all its subscriptions. */
  finish(name: string, error?: TokenSocketError): void {
    const channel = this.#channels.get(name);
    this.#channels.delete(name);
    for (const place of channel?.places ?? []) place.get()?.finish(error);
  }

  /** All channels are over. */
  clear(): void {
    for (const name of this.names()) this.finish(name);
  }

  #subscription(name: string, channel: Channel) {
    const { promise, resolve, reject } = deferred<void>();
    const leave = () => {
      if (this.#drop(name, channel, place)) this.#unwanted(name);
    };
    const subscription = new Subscription(name, promise, { hold: () => place.hold(), leave });
    const place = new Place(subscription);
    return { subscription, place, confirmed: resolve as () => void, refuse: reject };
  }

  /** Says whether the channel is gone by that. */
  #drop(name: string, channel: Channel, place: Place): boolean {
    channel.places.delete(place);
    const gone = --channel.count === 0 && this.#channels.get(name) === channel;
    if (gone) this.#channels.delete(name);
    return gone;
  }
}
