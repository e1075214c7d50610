import type { Archive } from "../protocol.js";
import { el, fill, refocus } from "./dom.js";
import { formatSize } from "./words.js";

/** Saves a blob as a file. */
export function save(blob: Blob, name: string): void {
  // Without a type, browsers add the ending of the one that they find in the content.
  const url = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
  el("a", { href: url, download: name }).click();
  // The browser reads the blob after this turn, but holds it by then.
  setTimeout(() => {
    URL.revokeObjectURL(url);
  }, 60_000);
}

/** Offers an archive to be saved, with what was done to make it, in a place of the page. */
export function offer(place: HTMLElement, { name, blob, lines, warnings }: Archive): void {
  const button = el(
    "button",
    { type: "button", class: "main" },
    `Save ${name} (${formatSize(blob.size)})`,
  );
  button.addEventListener("click", () => {
    save(blob, name);
  });
  const result = el(
    "div",
    { class: "result" },
    el("ul", {}, ...lines.map((line) => el("li", {}, line))),
    ...warnings.map((warning) => el("p", { class: "warning" }, `Warning: ${warning}`)),
    button,
  );
  fill(place, result);
  refocus(button);
}
