// One face for the three clients, in a page that has loaded them. Each is
// connected with what its documentation shows first, over WebSocket. And no client
// at all: our wire by the page's own WebSocket and JSON, than which none is faster.

globalThis.clients = {
  tokensocket: {
    connect: (host) =>
      new Promise((resolve, reject) => {
        const socket = new TokenSocket({ host });
        socket.ready((error) =>
          error
            ? reject(error)
            : resolve({
                call: (value) => socket.rpc("echo", value),
                follow: async (channel, heard) => {
                  socket.onmessage(heard);
                  await socket.subscribe(channel).ready;
                },
                end: () => new Promise((done) => socket.end(done)),
              }),
        );
      }),
  },
  "socket.io-client": {
    connect: (host) =>
      new Promise((resolve, reject) => {
        const socket = io(host, { transports: ["websocket"], forceNew: true });
        socket.on("connect_error", reject);
        socket.on("connect", () =>
          resolve({
            call: (value) => socket.emitWithAck("echo", value),
            follow: async (_, heard) => void socket.on("message", heard),
            end: async () => socket.disconnect(),
          }),
        );
      }),
  },
  none: {
    connect: (host) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`${host.replace("http", "ws")}/sockets/websocket`);
        const waiting = new Map();
        let last = 0;
        let listener;
        const request = (rpc, req) =>
          new Promise((answer) => {
            last += 1;
            waiting.set(`${last}`, answer);
            socket.send(JSON.stringify({ rpc, req, uuid: `${last}` }));
          });
        socket.onerror = reject;
        socket.onmessage = ({ data }) => {
          const message = JSON.parse(data);
          if (message.channel) {
            listener(message.channel, message.message);
            return;
          }
          const uuid = message.uuid ?? message.data.uuid;
          waiting.get(uuid)(message.resp);
          waiting.delete(uuid);
        };
        socket.onopen = () =>
          resolve({
            call: (value) => request("echo", value),
            follow: (channel, heard) => {
              listener = heard;
              return request("_subscribe", { channel });
            },
            end: async () => socket.close(),
          });
      }),
  },
  original: {
    connect: (host) =>
      new Promise((resolve, reject) => {
        const socket = new TokenSocketOriginal({ host, reconnect: false });
        socket.ready((error) => {
          if (error) {
            reject(error);
            return;
          }
          const call = (value) =>
            new Promise((answer, fail) => socket.rpc("echo", value, (e, v) => (e ? fail(e) : answer(v))));
          resolve({
            call,
            follow: async (channel, heard) => {
              socket.onmessage(heard);
              socket.subscribe(channel);
              await call("behind the subscribe");
            },
            end: async () => socket._socket.close(),
          });
        });
      }),
  },
};
