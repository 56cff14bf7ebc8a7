import assert from "node:assert/strict";
import { test } from "node:test";
import { address } from "../src/address.js";
import { encodeForm } from "../src/form.js";
import { TokenSocketError } from "../src/error.js";

const page = { protocol: "https:", host: "page.test:8443" };

test("every way to write the host gives both URLs", () => {
  const cases: [string | undefined, string, string][] = [
    [undefined, "https://page.test:8443/socket/token", "wss://page.test:8443/sockets/websocket"],
    ["", "https://page.test:8443/socket/token", "wss://page.test:8443/sockets/websocket"],
    ["h:1337", "https://h:1337/socket/token", "wss://h:1337/sockets/websocket"],
    ["localhost", "https://localhost/socket/token", "wss://localhost/sockets/websocket"],
    ["//h", "https://h/socket/token", "wss://h/sockets/websocket"],
    ["http://h:1337", "http://h:1337/socket/token", "ws://h:1337/sockets/websocket"],
    ["https://h/", "https://h/socket/token", "wss://h/sockets/websocket"],
    ["ws://h:1", "http://h:1/socket/token", "ws://h:1/sockets/websocket"],
    ["wss://h", "https://h/socket/token", "wss://h/sockets/websocket"],
    ["http://h/app/", "http://h/app/socket/token", "ws://h/app/sockets/websocket"],
    ["http://[::1]:8", "http://[::1]:8/socket/token", "ws://[::1]:8/sockets/websocket"],
    ["HTTP://h", "http://h/socket/token", "ws://h/sockets/websocket"],
  ];
  for (const [host, tokenUrl, socketUrl] of cases) {
    assert.deepEqual(address({ host }, page), { tokenUrl, socketUrl }, String(host));
  }
});

test("without a page the scheme is http and a host is needed", () => {
  assert.equal(address({ host: "h:1337" }, undefined).tokenUrl, "http://h:1337/socket/token");
  for (const nowhere of [undefined, { protocol: "file:", host: "" }]) {
    assert.throws(() => address({}, nowhere), (error) => error instanceof TokenSocketError && error.code === "options");
  }
});

test("refuses what is no host", () => {
  for (const host of ["http://", "a b", "http://h:port", "ftp://h", "//"]) {
    assert.throws(() => address({ host }, page), (error) => error instanceof TokenSocketError && error.code === "options", host);
  }
});

test("port, paths and authentication find their places", () => {
  assert.deepEqual(
    address({ host: "http://h", port: 81, tokenPath: "t?x=1", socketPrefix: "/s/", authentication: { a: "b c" } }, undefined),
    { tokenUrl: "http://h:81/t?x=1&a=b%20c", socketUrl: "ws://h:81/s/websocket" },
  );
});

test("nested keys stand in brackets", () => {
  assert.equal(
    decodeURIComponent(encodeForm({ a: 1, b: { c: "d e", f: [true, "x"] }, g: false })),
    "a=1&b[c]=d e&b[f][0]=true&b[f][1]=x&g=false",
  );
  assert.equal(encodeForm({ "a&b": "c=d", ü: "€" }), "a%26b=c%3Dd&%C3%BC=%E2%82%AC");
});

test("what is empty is left out, and what is inherited", () => {
  const inherits = Object.create({ inherited: 1 }) as Record<string, unknown>;
  inherits.own = 2;
  assert.equal(encodeForm(inherits), "own=2");
  assert.equal(encodeForm({ a: "", b: null, c: undefined, d: {}, e: [], f: 0 }), "f=0");
});
