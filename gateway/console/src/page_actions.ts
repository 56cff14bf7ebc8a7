// What the server may call on this page: greet, notify, confirm.
//
// In: a call of the server. Out: its answer, and a line in the log of such calls.

import type { UntypedActions } from "tokensocket";

import type { CalledLog } from "./called_log";
import type { Toasts } from "./toasts";

/** The actions by name, each with data to try it with. */
export const SAMPLES: Readonly<Record<string, unknown>> = {
  greet: "you",
  notify: { title: "It works", text: "The server called this page." },
  confirm: { question: "Shall we?" },
};

/** `user` is asked who the page is at the moment. */
export function pageActions(log: CalledLog, toasts: Toasts, user: () => string): UntypedActions {
  return log.watch({
    greet: (data) => `Hello ${typeof data === "string" ? data : "whoever you are"}, this is ${user() || "a tab"}.`,
    notify: (data) => {
      toasts.show(text(data, "title") ?? "The server says", text(data, "text") ?? (typeof data === "string" ? data : ""));
      return true;
    },
    confirm: (data, signal) => toasts.ask(text(data, "question") ?? (typeof data === "string" ? data : "Yes or no?"), signal),
  });
}

function text(data: unknown, name: string): string | undefined {
  const value: unknown = typeof data === "object" && data ? (data as Record<string, unknown>)[name] : undefined;
  return typeof value === "string" ? value : undefined;
}
