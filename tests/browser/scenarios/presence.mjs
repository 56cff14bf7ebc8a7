// Who is on a channel. Against the server `playground`, whose channels under
// `kept.` say so.

import { connected, ended, Seen } from "./sockets.mjs";

export async function whoIsThereCanBeAskedFor({ TokenSocket, assert, host, channel }) {
  const sockets = [];
  for (const user of ["ann", "ann", "bob"]) {
    const socket = await connected(TokenSocket, { host, authentication: { user } });
    await socket.subscribe(channel).ready;
    sockets.push(socket);
  }
  const [first] = sockets;
  const { clients, users, members, more } = await first.presence(channel);
  assert.deepEqual([clients, users, more], [3, 2, false]);
  assert.deepEqual(members.map(({ user, info }) => [user, info]), ["ann", "ann", "bob"].map((name) => [name, { name }]));
  assert.isAbove(members[0].since, 1.7e12);
  const counts = await first.presence(channel, { limit: 0 });
  assert.deepEqual([counts.clients, counts.users, counts.members], [3, 2, []]);
  const page = await first.presence(channel, { limit: 1, after: members[0].client });
  assert.deepEqual([page.members, page.more], [[members[1]], true]);
  const told = await new Promise((resolve) => first.presence(`${channel} of others`, {}, resolve));
  assert.equal(told.code, "forbidden");
  await Promise.all(sockets.map(ended));
}

/** Stays in the page and remembers who comes and goes. */
export async function watches({ TokenSocket, host, channel, user, presence }) {
  const socket = await connected(TokenSocket, { host, authentication: { user } });
  const events = new Seen();
  for (const event of ["join", "leave"]) {
    socket.on(event, (name, { user, info }) => events.push([event, name, user, info]));
  }
  await socket.subscribe(channel, { presence }).ready;
  globalThis.watched = { socket, events };
}

/** What was seen, once the last of it is this event. */
export async function hasSeen({ event, user }) {
  await globalThis.watched.events.find(([name, , who]) => name === event && who === user);
  return globalThis.watched.events.items;
}

export const everything = () => globalThis.watched.events.items;
