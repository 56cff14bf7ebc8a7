/**
 * What must compile with the three interfaces given, and what must not: each line after an expected error
 * would otherwise be one that nobody notices. Never run.
 */
import { TokenSocket, TokenSocketError, type Answer, type Subscription } from "../../src/index.js";

interface ServerActions {
  echo: (data: { a: number }) => { a: number };
  now(): number;
  math: {
    add: (data: { a: number; b: number }) => number;
    deep: { list: (data?: string) => Promise<string[]> };
  };
  "with.dot": (data: string) => boolean;
}

interface ClientActions {
  greet(name: string): string;
  ask: { sure(question: string): Promise<boolean> };
}

interface Channels {
  news: { title: string };
  ticks: number;
  [room: `room:${string}`]: { from: string };
}

interface DeviceEvents {
  order: [id: number, total?: number];
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

const socket = new TokenSocket<ServerActions, ClientActions, Channels, DeviceEvents>(
  { host: "localhost", ping: 1000, transports: ["websocket"] },
  {
    greet: (name) => `hello ${name}`,
    ask: { sure: async (question) => question.length > 0 },
  },
);

export async function calls(signal: AbortSignal): Promise<void> {
  same<number, Awaited<ReturnType<typeof add>>>(true);
  const add = () => socket.rpc("math.add", { a: 1, b: 2 }, { timeout: 5000, signal });
  const list: string[] = await socket.rpc("math.deep.list");
  await socket.rpc("math.deep.list", "x");
  await socket.rpc("math.deep.list", undefined, { timeout: 1 });
  const now: number = await socket.rpc("now");
  const yes: boolean = await socket.rpc("with.dot", "x");
  socket.rpc("echo", { a: 1 }, (error, result) => {
    same<TokenSocketError | null, typeof error>(true);
    same<{ a: number } | undefined, typeof result>(true);
  });
  socket.rpc("echo", { a: 1 }, { timeout: 1 }, (error, result) => void [error?.code, error?.details, result?.a]);

  // @ts-expect-error no such action
  await socket.rpc("math.subtract", { a: 1, b: 2 });
  // @ts-expect-error a folder is no action
  await socket.rpc("math");
  // @ts-expect-error the argument is missing
  await socket.rpc("echo");
  // @ts-expect-error of another type
  await socket.rpc("echo", { a: "1" });
  // @ts-expect-error one field too many
  await socket.rpc("echo", { a: 1, c: 1 });
  // @ts-expect-error takes nothing
  await socket.rpc("now", 1);
  // @ts-expect-error the result is another
  const text: string = await socket.rpc("math.add", { a: 1, b: 2 });
  // @ts-expect-error no such option
  await socket.rpc("math.add", { a: 1, b: 2 }, { timeOut: 1 });
  // @ts-expect-error the callback's result is another
  socket.rpc("echo", { a: 1 }, (_error: TokenSocketError | null, _result?: string) => {});
  void [list, now, yes, text];
}

export async function channels(): Promise<void> {
  const news = socket.subscribe("news");
  same<Subscription<{ title: string }>, typeof news>(true);
  for await (const message of news) {
    const title: string = message.title;
    // @ts-expect-error no such field
    void [title, message.text];
  }
  for await (const message of socket.subscribe("room:1")) message.from satisfies string;
  const tick = await socket.subscribe("ticks").next();
  if (!tick.done) same<number, typeof tick.value>(true);
  await socket.publish("news", { title: "x" });
  socket.publish("room:1", { from: "me" }, (error) => void error?.message);
  await socket.unsubscribe("room:1");
  await socket.broadcast(1);
  socket.onmessage((channel, message) => {
    if (channel === "news") message.title satisfies string;
    else if (channel === "ticks") message satisfies number;
    else message.from satisfies string;
  });
  const off = socket.on("message", (channel, message) => {
    if (channel === "ticks") message.toFixed();
    // @ts-expect-error which message it is, only the channel tells
    message.toFixed();
  });
  off();

  // @ts-expect-error no such channel
  socket.subscribe("sports");
  // @ts-expect-error of another type
  await socket.publish("news", "x");
  // @ts-expect-error on no channel
  await socket.broadcast("x");
  // @ts-expect-error no such channel
  await socket.unsubscribe("sports");
}

export async function keeping(): Promise<void> {
  const { position, duplicate } = await socket.publish("news", { title: "x" }, { key: "k" });
  same<boolean, typeof duplicate>(true);
  socket.publish("ticks", 1, { key: "k" }, (error, result) => void [error?.code, result?.position?.offset]);
  socket.publish("ticks", 1, (_error, result) => void result?.duplicate);
  socket.subscribe("news", { presence: true, since: position }, (error) => void error?.code);
  const page = await socket.history("news", { since: position, limit: 1, reverse: true });
  page.publications[0]?.message.title satisfies string | undefined;
  const { clients, members } = await socket.presence("room:1", { limit: 0, after: "c" });
  same<number, typeof clients>(true);
  void members[0]?.user?.length;
  socket.on("unrecovered", (channel) => same<"news" | "ticks" | `room:${string}`, typeof channel>(true));
  socket.on("join", (_channel, member) => void member.since.toFixed());
  socket.on("settings", ({ device, deviceTtl, resumed }) => void [device.length, deviceTtl.toFixed(), resumed]);
  const stop = socket.onDelivery("order", async (id, total) => void [id.toFixed(), total?.toFixed()]);
  stop();
  socket.onDeliveryByHand("order", ({ args: [id], acknowledge }) => (id > 1 ? acknowledge() : undefined));
  socket.onResync((event, reason) => void [event === "order", reason === "lost"]);

  // @ts-expect-error no such event
  socket.onDelivery("orders", () => {});
  // @ts-expect-error the argument is another
  socket.onDelivery("order", (id: string) => id);
  // @ts-expect-error no such option
  await socket.publish("ticks", 1, { keys: "k" });
  // @ts-expect-error a place has an epoch, too
  socket.subscribe("news", { since: { offset: 1 } });
  // @ts-expect-error no such channel
  await socket.history("sports");
}

export function actions(): void {
  socket.register({
    greet: (name, answer) => answer(null, name.toUpperCase()),
    ask: {
      sure(question: string, answer: Answer<boolean>) {
        if (!answer.signal.aborted) answer(question ? null : "what?", true);
      },
    },
  });
  socket.actions.greet = async (name) => name;
  socket.register({
    // @ts-expect-error the result is another
    greet: (name) => name.length,
    ask: { sure: () => true },
  });
  // @ts-expect-error one is missing
  socket.register({ greet: (name) => name });
  socket.register({
    greet: (name) => name,
    ask: { sure: () => true },
    // @ts-expect-error one too many
    other: () => 1,
  });
  socket.register({
    // @ts-expect-error the argument is another
    greet: (name: number) => `${name}`,
    ask: { sure: () => true },
  });
  socket.register({
    // @ts-expect-error the answer is another
    greet: (_name, answer) => answer(null, 1),
    ask: { sure: () => true },
  });
}

export async function events(): Promise<void> {
  await socket.ready();
  socket.ready((error) => same<TokenSocketError | undefined, typeof error>(true));
  socket.on("ready", (error) => void error?.code);
  socket.once("reconnect", () => {});
  socket.on("state", (state) => same<"connecting" | "ready" | "disconnected" | "ended", typeof state>(true));
  socket.on("disconnect", (error) => void error.code);
  socket.on("lost", (channel, error) => void [channel, error.code]);
  socket.removeAllListeners().removeAllListeners("state");
  await socket.end();
  socket.end(() => {});
  same<"connecting" | "ready" | "disconnected" | "ended", typeof socket.state>(true);

  // @ts-expect-error no such event
  socket.on("open", () => {});
  // @ts-expect-error the state cannot be set
  socket.state = "ready";
  // @ts-expect-error no such option
  new TokenSocket({ hots: "x" });
  // @ts-expect-error no such transport
  new TokenSocket({ transports: ["jsonp-polling"] });
}
