// A page that is one of a user's clients at a site of the gateway.

import { connected, ended, Seen } from "./sockets.mjs";

/** Is there for one delivery and one emit, and says when it has each. */
export async function takesWhatTheOthersTake({ TokenSocket, assert, stage, host, token }) {
  const handled = new Seen();
  const published = new Seen();
  const socket = await connected(TokenSocket, {
    host,
    tokenPath: "/newsite/socket/token",
    socketPrefix: "/newsite/sockets",
    authentication: { token },
    device: "page",
  });
  socket.onDelivery("order", (...args) => handled.push(args));
  socket.onmessage((channel, message) => published.push([channel, message]));
  await stage("everybody is there");
  const order = await handled.find(() => true);
  await stage("the order came", order);
  const news = await published.find(() => true);
  await stage("the news came", news);
  assert.lengthOf(handled.items, 1);
  await ended(socket);
}
