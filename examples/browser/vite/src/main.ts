import { TokenSocket, TokenSocketError } from "tokensocket";

import type { Channels, PageActions, ServerActions } from "./wire";

const user = "grace";
const socket = new TokenSocket<ServerActions, PageActions, Channels>(
  { authentication: { user } },
  { greet: async (name) => `hello ${name}, this is a page at ${location.origin}` },
);

const state = element("state");
socket.on("state", (now) => (state.textContent = now));

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("text") as HTMLInputElement;
  socket.publish("news", { text: text.value, by: user }).catch(complain);
  text.value = "";
});

element("greet").addEventListener("click", async () => {
  try {
    // The server calls `greet` on this page, and answers with its answer.
    element("greeting").textContent = await socket.rpc("sockets.call", { action: "greet", data: user }, { timeout: 5_000 });
  } catch (error) {
    complain(error);
  }
});

async function follow(): Promise<void> {
  for await (const { text, by } of socket.subscribe("news")) {
    const item = document.createElement("li");
    item.textContent = `${by}: ${text}`;
    element("news").prepend(item);
  }
}

function complain(error: unknown): void {
  state.textContent = error instanceof TokenSocketError ? `${error.message} (${error.code})` : String(error);
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

follow().catch(complain);
