// Elements of the page: found by their id, or made.
//
// Nothing here reads HTML from a text, so what a server sends can never become markup.

type Properties<E> = Partial<Omit<E, "children" | "style">> & { class?: string; [attribute: `aria-${string}` | `data-${string}`]: string };

/** The element of this id. The page has it, or the page and this program do not fit together. */
export function find<E extends HTMLElement>(id: string, type: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

/** Makes an element. Names with a dash become attributes, all others properties. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = String(value);
    else if (name.includes("-")) element.setAttribute(name, String(value));
    else Object.assign(element, { [name]: value });
  }
  element.append(...children);
  return element;
}

/** A button that is no part of a form. */
export function button(text: string, press: () => void, properties: Properties<HTMLButtonElement> = {}): HTMLButtonElement {
  const element = make("button", { type: "button", ...properties }, text);
  element.addEventListener("click", press);
  return element;
}
