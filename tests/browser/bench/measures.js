// What is measured, in the page. Times are milliseconds of the page's clock.

globalThis.measures = {
  /** A connection that follows the channel and can be told what to do with messages. */
  async open(client, host, channel) {
    const connection = await clients[client].connect(host);
    await connection.follow(channel, () => connection.heard?.());
    return connection;
  },

  /** How long `count` calls take, `window` of them in flight. */
  async calls(connection, count, window) {
    let left = count;
    const value = { a: 1, text: "sixty-four bytes or so, there and back again" };
    const worker = async () => {
      while (left > 0) {
        left -= 1;
        await connection.call(value);
      }
    };
    const begun = performance.now();
    await Promise.all(Array.from({ length: window }, worker));
    return performance.now() - begun;
  },

  /** How long it takes from the first to the last of the next `count` messages. */
  messages(connection, count) {
    return new Promise((resolve) => {
      let begun;
      let heard = 0;
      connection.heard = () => {
        heard += 1;
        begun ??= performance.now();
        if (heard === count) {
          resolve(performance.now() - begun);
        }
      };
    });
  },
};
