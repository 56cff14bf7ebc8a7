// The unmodified sockjs-client, by one of its transports, against the SockJS
// services of `playground`. Each scenario is for every transport.

import { expectEcho, scenario } from "./connection.mjs";

/** Of every plane beyond the first, one code point of so many. */
const STRIDE = 97;
/** Milliseconds between two looks at what only looking tells. */
const LOOK = 100;
/** What a receiver is closed with while another one is there. */
const BUSY = { code: 2010, reason: "Another connection still open" };

export const opensAndEchoes = scenario(async ({ open, assert, transport }) => {
  const connection = await open("echo");
  assert.equal(connection.transport, transport);
  await expectEcho(assert, connection, "hello");
  const frames = ["[]", '["a"]', '{"a":"\\u0000"}', "o", "h", 'c[3000,"Go away!"]'];
  await expectEcho(assert, connection, "", ...frames, "x".repeat(5000), "y");
});

export const textThatLooksLikeMarkupStaysText = scenario(async ({ open, assert }) => {
  const connection = await open("echo");
  await expectEcho(assert, connection, "</script>", "<!--", "<script>", "]]>", "&lt;%00+", "behind it");
});

export const unicodeOfEveryPlaneComesBack = scenario(async ({ open, assert }) => {
  const connection = await open("echo");
  const planes = Array.from({ length: 17 }, (_, plane) => codePointsOf(plane));
  for (const text of planes) {
    connection.send(text);
  }
  const echoes = await connection.next(planes.length);
  planes.forEach((text, plane) => assert.isTrue(echoes[plane] === text, `plane ${plane}`));
});

/** All that a text can have of the first plane, and samples of another; the last two of each are no characters. */
function codePointsOf(plane) {
  const isOne = (low) => plane > 0 || low < 0xd800 || low > 0xdfff;
  let text = "";
  for (let low = 0; low < 0xfffe; low += plane === 0 ? 1 : STRIDE) {
    text += isOne(low) ? String.fromCodePoint(plane * 0x10000 + low) : "";
  }
  return text + String.fromCodePoint(plane * 0x10000 + 0xfffe, plane * 0x10000 + 0xffff);
}

export const tenThousandMessagesComeBackInOrder = scenario(async ({ open, assert }) => {
  const connection = await open("echo");
  const messages = Array.from({ length: 10_000 }, (_, n) => `message ${n}`);
  await expectEcho(assert, connection, ...messages);
});

export const aMebibyteComesBack = scenario(async ({ open, assert }) => {
  const connection = await open("echo");
  const text = "0123456789abcdef".repeat(65_536);
  connection.send(text);
  connection.send("behind it");
  const [echo, behind] = await connection.next(2);
  assert.isTrue(echo === text);
  assert.equal(behind, "behind it");
});

/** By WebSocket a heartbeat is a ping, which no page sees; the server closes what answers none. */
export const heartbeatsKeepItOpen = scenario(async ({ open, assert, transport }) => {
  const connection = await open("echo_heartbeat");
  const before = connection.heartbeats;
  if (transport === "websocket") {
    const later = new Promise((resolve) => setTimeout(resolve, 3500));
    await Promise.race([later, connection.closed]);
    assert.equal(connection.heartbeats, before);
  } else {
    await connection.until(() => connection.heartbeats >= before + 2);
  }
  await expectEcho(assert, connection, "still here");
});

export const theServerClosesWithACodeAndAReason = scenario(async ({ begin, assert }) => {
  const connection = begin("close");
  let opened = false;
  connection.opened.then(() => (opened = true));
  assert.deepEqual(await connection.closed, { code: 3000, reason: "Go away!", wasClean: true });
  assert.isTrue(opened);
});

/** Nothing of the code reaches a server; what it must notice is the end. */
export const thePageClosesWithACodeAndAReason = scenario(async ({ open, assert, transport, url }) => {
  const session = sessionOf("closing");
  const connection = await open("echo_heartbeat", session);
  await expectEcho(assert, connection, "hello");
  connection.close(4321, "enough ☃");
  assert.deepEqual(await connection.closed, { code: 4321, reason: "enough ☃", wasClean: true });
  if (transport === "websocket") {
    return;
  }
  for (;;) {
    const { status } = await fetch(`${url("echo_heartbeat")}/000/${session.sessionId()}/xhr_send`, {
      method: "POST",
      headers: { "content-type": "text/plain" },
      body: "[]",
    });
    if (status === 404) {
      return;
    }
    assert.equal(status, 204);
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
});

export const aLostServerIsNoticedAndFoundAgain = scenario(async ({ open, assert, stage }) => {
  const lost = await open("echo");
  await expectEcho(assert, lost, "hello");
  await stage("the server restarts");
  if (lost.isOpen) {
    // Some transports see a lost stream only by what they send.
    lost.send("is anybody there?");
  }
  const { code, wasClean } = await lost.closed;
  assert.deepEqual({ code, wasClean }, { code: 1006, wasClean: false });
  const found = await open("echo");
  await expectEcho(assert, found, "hello again");
});

/** Each WebSocket is a session of its own, whatever its URL says. */
export const aSecondConnectionOnOneSessionIsRefused = scenario(async ({ begin, open, assert, transport, url }) => {
  if (transport === "websocket") {
    const session = sessionOf("shared");
    const [first, second] = [await open("echo", session), await open("echo", session)];
    await expectEcho(assert, second, "second");
    await expectEcho(assert, first, "first", "is untouched");
    return;
  }
  const { first, session } = await receiving(assert, open, url);
  const second = begin("echo", session);
  assert.deepEqual(await second.closed, { ...BUSY, wasClean: true });
  await expectEcho(assert, first, "first", "is untouched");
});

/** Options for a session whose name is known. */
function sessionOf(what) {
  const name = `${what}-${Math.random().toString(36).slice(2)}`;
  return { server: "000", sessionId: () => name };
}

/**
 * A connection whose receiver is at the server, as one that asks there is told. By polling the next receiver is on its
 * way for a moment after each frame: one that asks just then takes its place, so it is tried with another session.
 */
async function receiving(assert, open, url) {
  for (;;) {
    const session = sessionOf("shared");
    const first = await open("echo", session);
    await expectEcho(assert, first, "first");
    const asking = new AbortController();
    const { signal } = asking;
    const told = fetch(`${url("echo")}/000/${session.sessionId()}/xhr`, { method: "POST", signal }).then((answer) =>
      answer.text(),
    );
    const answer = await Promise.race([told, first.closed]);
    if (typeof answer === "string") {
      assert.equal(answer, `c[${BUSY.code},"${BUSY.reason}"]\n`);
      return { first, session };
    }
    assert.deepEqual(answer, { ...BUSY, wasClean: true });
    told.catch(() => {});
    asking.abort();
  }
}

export const aServiceMayNeedACookie = scenario(async ({ open, assert }) => {
  const connection = await open("cookie_needed_echo");
  await expectEcho(assert, connection, "hello");
  await expectEcho(assert, connection, "x".repeat(5000), "behind it");
});

export const aServiceMayHaveNoWebsocket = scenario(async ({ begin, open, assert, transport }) => {
  if (transport === "websocket") {
    const none = await begin("disabled_websocket_echo").closed;
    assert.deepEqual(none, { code: 2000, reason: "All transports failed", wasClean: false });
    const other = await open("disabled_websocket_echo", { transports: ["websocket", "xhr-polling"] });
    assert.equal(other.transport, "xhr-polling");
    await expectEcho(assert, other, "hello");
  } else {
    const connection = await open("disabled_websocket_echo", { transports: ["websocket", transport] });
    assert.equal(connection.transport, transport);
    await expectEcho(assert, connection, "hello");
  }
});
