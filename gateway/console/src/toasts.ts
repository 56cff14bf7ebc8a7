// Notices and questions in the corner of the page.
//
// In: words. Out: for a question, yes or no. At most four stand there at a time: an older notice goes, a
// question too many is refused.

import { button, find, make } from "./element";

const MOST = 4;
const SHOWN = 6_000;

export class Toasts {
  readonly #place = find("toasts", HTMLElement);
  readonly #answers: ((answer: boolean) => void)[] = [];

  /** Shows a notice for some seconds. */
  show(title: string, text: string): void {
    while (this.#place.children.length >= MOST) {
      const oldest = this.#place.querySelector(".notice");
      if (!oldest) return;
      oldest.remove();
    }
    const close = button("×", () => notice.remove(), { class: "quiet", "aria-label": "Dismiss" });
    const notice = make("div", { class: "toast notice" }, make("div", {}, make("strong", {}, title), make("p", {}, text)), close);
    this.#place.append(notice);
    setTimeout(() => notice.remove(), SHOWN);
  }

  /** Asks; resolves with the answer. Rejects when the signal aborts or too many questions are open. */
  ask(question: string, signal: AbortSignal): Promise<boolean> {
    if (this.#answers.length >= MOST) {
      return Promise.reject(Object.assign(new Error("too many questions are open on this page"), { code: "overloaded" }));
    }
    return new Promise((resolve, reject) => {
      const close = () => {
        this.#answers.splice(this.#answers.indexOf(answer), 1);
        toast.remove();
      };
      const answer = (yes: boolean) => {
        close();
        resolve(yes);
      };
      const toast = make(
        "div",
        { class: "toast question", role: "alertdialog", "aria-label": `The server asks: ${question}` },
        make("p", {}, make("strong", {}, question)),
        make("div", { class: "row" }, button("Yes", () => answer(true), { class: "primary" }), button("No", () => answer(false)), make("span", { class: "keys" }, make("kbd", {}, "y"), " ", make("kbd", {}, "n"))),
      );
      this.#answers.push(answer);
      this.#place.append(toast);
      signal.addEventListener("abort", () => {
        close();
        reject(new Error("nobody waits any more"));
      }, { once: true });
    });
  }

  /** Answers the oldest question, if there is one. */
  answerOldest(yes: boolean): boolean {
    const answer = this.#answers[0];
    answer?.(yes);
    return answer !== undefined;
  }
}
