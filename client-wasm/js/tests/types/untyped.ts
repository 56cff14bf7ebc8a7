/** What must compile when nothing is said about the types: any name, and `unknown`, never `any`. Never run. */
import { TokenSocket, type Subscription } from "../../src/index.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

const socket = new TokenSocket(
  {},
  {
    greet: (name) => {
      same<unknown, typeof name>(true);
      return 1;
    },
    nested: { deeper: { ask: (data, answer) => answer(null, data) } },
  },
);

export async function everything(name: string): Promise<void> {
  const result = await socket.rpc(name, { any: "thing" });
  same<unknown, typeof result>(true);
  await socket.rpc(name);
  await socket.rpc("a.b.c", 1, { timeout: 1 });
  socket.rpc("x", {}, (error, answer) => {
    same<unknown, typeof answer>(true);
    void error?.code;
  });
  const subscription = socket.subscribe(name);
  same<Subscription<unknown>, typeof subscription>(true);
  for await (const message of subscription) same<unknown, typeof message>(true);
  socket.onmessage((channel, message) => {
    same<string, typeof channel>(true);
    same<unknown, typeof message>(true);
  });
  await socket.publish(name, [1]);
  await socket.broadcast({ a: 1 });
  same<string[], ReturnType<typeof socket.channels>>(true);
  socket.register({ f() {}, async g() {}, h: { i: () => 1 } });

  // @ts-expect-error unknown is not a number
  result.toFixed();
  // @ts-expect-error an action is a function
  socket.register({ f: 1 });
}

/** Known calls, everything else unknown. */
const half = new TokenSocket<{ add: (data: [number, number]) => number }>();
export async function partly(): Promise<number> {
  half.subscribe("anything");
  half.register({ f: () => 1 });
  // @ts-expect-error no such action
  await half.rpc("subtract", [1, 2]);
  return half.rpc("add", [1, 2]);
}
