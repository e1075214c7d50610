export type Child = Node | string | false | undefined;

export type Attributes = Readonly<Record<string, string | boolean | undefined>>;

/** The most characters of a name that are shown. */
const MAX_LENGTH = 2000;

/**
 * Returns untrusted text in a form that cannot hide or rearrange other text: control, format and bidi
 * characters become escapes such as `\u{202e}`.
 */
export function visible(text: string, maxLength: number = MAX_LENGTH): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, escaped);
}

/** The same for text of several lines. */
export function visibleLines(text: string): string {
  return text.replace(/(?![\n\t])[\p{C}\p{Zl}\p{Zp}]/gu, escaped).replaceAll("\\u{d}\n", "\n");
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** Creates an element. Texts are made visible; nothing is ever parsed as HTML. */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : visible(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children: readonly Child[]): (Node | string)[] {
  return children
    .filter((child) => child !== undefined && child !== false)
    .map((child) => (typeof child === "string" ? visible(child) : child));
}

/** Moves the focus to an element if the one that had it is gone. */
export function refocus(element: HTMLElement): void {
  if (document.activeElement === document.body) element.focus();
}

/** Replaces what is in an element. */
export function fill(element: Element, ...children: readonly Child[]): void {
  element.replaceChildren(...nodes(children));
}

/** A name from outside, whose direction does not affect its surroundings. */
export function named(name: string, attributes: Attributes = {}): HTMLElement {
  return el("bdi", attributes, name);
}

export function button(
  label: Child,
  onClick: () => void,
  attributes: Attributes = {},
): HTMLButtonElement {
  const element = el("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", onClick);
  return element;
}

/** Returns the element of the document with an id. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the document has no ${id}`);
  return element;
}
