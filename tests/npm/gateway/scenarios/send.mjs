// `POST /send`: its statuses and texts, and how it takes rooms, events and arguments.

import assert from "node:assert/strict";

const KEY = { site: "newsite", apiKey: "54321" };

export async function statuses_are_the_originals(world) {
  const body = { rooms: [world.user], event: "e", args: [] };
  const missing = { status: 400, text: "Missing query param 'site' or 'apiKey'." };
  const invalid = { status: 401, text: "ApiKey invalid." };
  const cases = [
    [{}, missing],
    [{ site: "newsite" }, missing],
    [{ apiKey: "54321" }, missing],
    [{ site: "", apiKey: "54321" }, missing],
    [{ site: "newsite", apiKey: "" }, missing],
    [{ site: "newsite", apiKey: "54320" }, invalid],
    [{ site: "newsite", apiKey: "543210" }, invalid],
    [{ site: "nosuchsite", apiKey: "54321" }, invalid],
    [{ site: "site2", apiKey: "54321" }, invalid],
    [{ site: "constructor", apiKey: "54321" }, invalid],
    [KEY, { status: 200, text: "OK" }],
  ];
  for (const [query, expected] of cases) {
    assert.deepEqual(await world.post(query, body), expected, JSON.stringify(query));
  }
}

export async function nobody_there_is_well_too(world) {
  assert.deepEqual(await world.post(KEY, { rooms: ["user_nobody", "nothing"], event: "e", args: [] }), {
    status: 200,
    text: "OK",
  });
}

export async function the_key_may_be_a_bearer(world) {
  const client = await world.join();
  const body = { rooms: [world.user], event: "e", args: [1] };
  const sent = await world.post({ site: "newsite" }, body, { authorization: "Bearer 54321" });
  assert.deepEqual(sent, { status: 200, text: "OK" });
  assert.deepEqual((await client.next()).args, [1]);
  const wrong = await world.post({ site: "newsite" }, body, { authorization: "Bearer 5432" });
  assert.deepEqual(wrong, { status: 401, text: "ApiKey invalid." });
}

export async function a_form_is_taken(world) {
  const client = await world.join();
  const form = [
    ["rooms[]", world.user],
    ["rooms[]", world.room],
    ["event", "e"],
    ["args[]", "user"],
    ["args[]", "a & b = c; %41+"],
  ];
  assert.deepEqual(await world.post(KEY, new URLSearchParams(form).toString()), { status: 200, text: "OK" });
  const { event, args, ack } = await client.next();
  assert.deepEqual([event, args], ["e", ["user", "a & b = c; %41+"]]);
  ack();
  await world.nothingBefore(client);
}

export async function a_form_with_numbered_and_nested_fields_is_taken(world) {
  const client = await world.join();
  const form = [
    ["rooms[0]", world.user],
    ["event", "e"],
    ["args[0]", "user"],
    ["args[1][id]", "1"],
    ["args[1][tags][]", "a"],
    ["args[1][tags][]", "b"],
  ];
  await world.post(KEY, new URLSearchParams(form).toString());
  assert.deepEqual((await client.next()).args, ["user", { id: "1", tags: ["a", "b"] }]);
}

export async function a_form_with_plain_fields_is_taken(world) {
  const client = await world.join();
  const form = [["rooms", world.user], ["event", "e"], ["args", "one"]];
  await world.post(KEY, new URLSearchParams(form).toString());
  assert.deepEqual((await client.next()).args, ["one"]);
}

export async function rooms_may_be_one_string(world) {
  const client = await world.join();
  await world.send(world.user, "e", [1]);
  assert.deepEqual((await client.next()).args, [1]);
}

export async function args_may_be_one_value(world) {
  const client = await world.join();
  await world.send([world.user], "e", { one: true });
  assert.deepEqual((await client.next()).args, [{ one: true }]);
}

export async function args_arrive_as_they_were(world) {
  const client = await world.join();
  const lists = [
    [],
    ["user", { id: 1, age: 5 }],
    [null, true, false, 0, -1.5, 1e300, "", " ", [], {}],
    [{ deep: [[[{ er: null }]]] }],
    ['quotes " and \\ and / and \n \t'],
    [{ _placeholder: true, num: 0 }],
    ["x".repeat(100_000)],
  ];
  for (const args of lists) {
    await world.send([world.user], "e", args);
    const got = await client.next();
    assert.deepEqual(got.args, args);
    got.ack();
  }
}

export async function text_beyond_ascii_arrives_as_it_was(world) {
  const client = await world.join();
  for (const text of ["zwölf", "☃ 漢字", "😀 𝄞", "\u2028\u2029\u0000\u007f", "3:4"]) {
    await world.send([world.user], "e", [text, { [text]: text }]);
    const got = await client.next();
    assert.deepEqual(got.args, [text, { [text]: text }]);
    got.ack();
  }
}
// 1.x reads such text otherwise than 2.x where it polls, and 2.x is followed.
text_beyond_ascii_arrives_as_it_was.not = (generation, transport) =>
  generation === "1.7" && transport !== "websocket" && "1.x writes it otherwise in polling";

export async function event_names_are_the_applications(world) {
  const names = ["update_store", "a:b/c d", "message", "ping", "0", "constructor", "data"];
  const client = await world.join({}, { events: [...names, "barrier"] });
  for (const name of names) {
    await world.send([world.user], name, [name]);
    const { event, args, ack } = await client.next();
    assert.deepEqual([event, args], [name, [name]]);
    ack();
  }
}
// These are the client's own events up to 2.x.
event_names_are_the_applications.not = (generation) => generation !== "4.8" && "ping is the client's own there";

export async function names_that_are_the_clients_own_end_nobody(world) {
  const client = await world.join();
  for (const event of ["connect", "disconnect", "connect_error", "disconnecting", "newListener", "error", ""]) {
    const { status } = await world.post(KEY, { rooms: [world.user], event, args: [1] });
    assert.ok(status === 200 || status === 400, `${event}: ${status}`);
  }
  await world.nothingBefore(client);
  assert.equal(client.connects, 1);
}
// Up to 2.x such an event is an event of the client.
names_that_are_the_clients_own_end_nobody.not = (generation) =>
  generation !== "4.8" && "a client up to 2.x takes it for its own event";

export async function nonsense_is_refused(world) {
  const client = await world.join();
  const url = `${world.gateway}/send?${new URLSearchParams(KEY)}`;
  const json = { "content-type": "application/json" };
  const cases = [
    [json, "{"],
    [json, ""],
    [json, "[]"],
    [json, '{"rooms":{"a":1},"event":"e"}'],
    [json, '{"rooms":["a"],"event":7}'],
    [json, '{"rooms":["a"]}'],
    [{ "content-type": "text/plain" }, "hello"],
    [{ "content-type": "application/x-www-form-urlencoded" }, "%%%=%&[=]"],
    [json, JSON.stringify({ rooms: ["a"], event: "e", args: ["x".repeat(50 << 20)] })],
  ];
  for (const [headers, body] of cases) {
    const answer = await fetch(url, { method: "POST", headers, body }).catch((error) => error);
    // A body that is too large may be cut off.
    assert.ok(answer instanceof Error || (answer.status >= 400 && answer.status < 500), `${answer.status} for ${body.slice(0, 40)}`);
    if (!(answer instanceof Error)) await answer.arrayBuffer();
  }
  assert.equal((await fetch(url)).status, 405);
  await world.nothingBefore(client);
}
nonsense_is_refused.not = (generation, transport) =>
  !(generation === "4.8" && transport === "websocket") && "it depends on no client";
