"use strict";

// What has happened so far, and a way to await what has not yet. In: values, as
// they come. Out: promises for the ones asked for, found among the past values
// too. Knows nothing of sockets.

/** Names of what is being awaited, for the report when time runs out. */
const awaited = new Set();

/** Awaits `promise` and names it in the report should it never settle. */
async function awaiting(name, promise) {
  const entry = { name };
  awaited.add(entry);
  try {
    return await promise;
  } finally {
    awaited.delete(entry);
  }
}

/** What is awaited at this moment, as one text; forgets it. */
function takeAwaited() {
  const names = [...awaited].map(({ name }) => name).join(", ");
  awaited.clear();
  return names || "nothing that has a name";
}

/** An append-only list of events of one kind. */
class Record {
  constructor() {
    this.items = [];
    this.waiters = new Set();
  }

  push(item) {
    this.items.push(item);
    for (const waiter of [...this.waiters]) {
      waiter();
    }
  }

  matching(predicate) {
    return this.items.filter(predicate);
  }

  /** Resolves with the `count`th item that satisfies `predicate`. */
  find(name, predicate, count = 1) {
    const found = new Promise((resolve) => {
      const look = () => {
        const matches = this.matching(predicate);
        if (matches.length >= count) {
          this.waiters.delete(look);
          resolve(matches[count - 1]);
        }
      };
      this.waiters.add(look);
      look();
    });
    return awaiting(name, found);
  }
}

module.exports = { Record, awaiting, takeAwaited };
