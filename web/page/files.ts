import type { FilePage, FilesView, FileView } from "../protocol.js";
import { ask } from "./client.js";
import { button, el, fill, named, refocus, visibleLines } from "./dom.js";
import { save } from "./save.js";
import { runTask, showFailure } from "./task.js";
import { count, formatMode, formatSize } from "./words.js";

/** The most files that one list shows at first. */
const PAGE = 200;
/** The most bytes of a file that are shown as text. */
const MAX_TEXT = 256 * 1024;

/** Shows files as a tree with a search and a view of one file. */
export function showFiles(panel: HTMLElement, files: FilesView): void {
  const { id, total, warnings } = files;
  const title = `files-${String(id)}`;
  const viewer = el("div", { class: "viewer", "aria-live": "polite" }, el("p", { class: "note" }, "Choose a file to read it.")); // prettier-ignore
  const list = el("div", { class: "tree" });
  const search = el("input", { type: "search", id: `search-${String(id)}`, placeholder: "passwd" });
  const heading = el("h3", { id: title, tabindex: "-1" }, count(total, "file"));
  const close = (): void => {
    void ask("forget", { id });
    fill(panel);
  };
  let marked: HTMLElement | undefined;
  const mark = (entry: HTMLElement): void => {
    marked?.removeAttribute("aria-current");
    entry.setAttribute("aria-current", "true");
    marked = entry;
  };
  const context: Context = { id, viewer, mark };
  let latest = 0;
  const update = async (): Promise<void> => {
    const number = (latest += 1);
    const words = search.value.trim();
    const shown = await shownOr(
      words === "" ? showDirectory(context, "/", PAGE) : showMatches(context, words, PAGE),
    );
    if (number === latest) fill(list, ...shown);
  };
  search.addEventListener("input", () => void update());
  fill(
    panel,
    el(
      "section",
      { class: "files", "aria-labelledby": title },
      el("div", { class: "title" }, heading, button("Close", close, { "aria-label": "Close the files" })), // prettier-ignore
      ...warnings.map((warning) => el("p", { class: "warning" }, `Warning: ${warning}`)),
      el("p", { class: "search" }, el("label", { for: search.id }, "Search by path "), search),
      el("div", { class: "browser" }, list, viewer),
    ),
  );
  heading.focus();
  void update();
}

interface Context {
  /** The number of the files. */
  id: number;
  viewer: HTMLElement;
  /** Marks the file that is shown. */
  mark: (entry: HTMLElement) => void;
}

async function showDirectory(context: Context, path: string, limit: number): Promise<Node[]> {
  const page = await ask("listFiles", { id: context.id, path, count: limit });
  const items = page.files.map((file) => showEntry(context, file, file.name));
  return [listOf(items, page, () => showDirectory(context, path, page.total))];
}

async function showMatches(context: Context, words: string, limit: number): Promise<Node[]> {
  const page = await ask("searchFiles", { id: context.id, words, count: limit });
  const items = page.files.map((file) => showEntry(context, file, file.text));
  const found = el("p", { class: "note", role: "status" }, `${count(page.total, "file")} found`);
  return [found, listOf(items, page, () => showMatches(context, words, page.total))];
}

/** A list that ends with a button for the rest, if there is one. */
function listOf(items: Node[], { files, total }: FilePage, all: () => Promise<Node[]>): Node {
  const list = el("ul", { class: "plain" }, ...items);
  if (total > files.length) {
    const rest = button(`Show all ${total.toLocaleString("en")}`, () => {
      void shownOr(all()).then((nodes) => {
        list.replaceWith(...nodes);
      });
    });
    list.append(el("li", {}, rest));
  }
  if (total === 0) list.append(el("li", { class: "note" }, "empty"));
  return list;
}

function showEntry(context: Context, file: FileView, label: string): HTMLElement {
  const { type, size, target } = file;
  const name = named(label, { class: "name" });
  if (type === "directory") {
    const content = el("div", { hidden: true });
    const toggle = button(name, () => void expand(context, file, toggle, content), {
      ...{ class: "entry directory", "aria-expanded": "false" },
    });
    return el("li", {}, toggle, content);
  }
  const note = type === "symlink" ? `→ ${target ?? ""}` : type === "file" ? formatSize(size) : type;
  const show = (): void => {
    context.mark(open);
    void view(context, file);
  };
  const open = button(name, show, { class: `entry ${type}` });
  open.append(" ", el("span", { class: "note" }, note));
  return el("li", {}, open);
}

async function expand(
  context: Context,
  file: FileView,
  toggle: HTMLElement,
  content: HTMLElement,
): Promise<void> {
  const isOpen = toggle.getAttribute("aria-expanded") === "true";
  toggle.setAttribute("aria-expanded", String(!isOpen));
  content.hidden = isOpen;
  if (isOpen || content.hasChildNodes()) return;
  fill(content, ...(await shownOr(showDirectory(context, file.path, PAGE))));
}

/** The list, or the reason why there is none. */
function shownOr(list: Promise<Node[]>): Promise<Node[]> {
  return list.catch((error: unknown) => [showFailure(error)]);
}

/** Shows the attributes of a file, and its content if it is text. */
async function view({ id, viewer }: Context, file: FileView): Promise<void> {
  const { path, text, name, type, size, mode, owner, mtime, target, layer } = file;
  const isFile = type === "file";
  const place = el("div");
  const saveFile = async (): Promise<void> => {
    const blob = await runTask(place, "Reading", "readFile", { id, path });
    if (blob !== undefined) save(blob, name);
    refocus(saving);
  };
  const saving = button("Save", () => void saveFile(), { "aria-label": `Save ${name}` });
  const content = el("div");
  fill(
    viewer,
    el("div", { class: "title" }, el("h4", {}, named(text)), isFile && saving),
    el(
      "p",
      { class: "note" },
      [
        isFile ? formatSize(size) : type,
        ...(target === undefined ? [] : [`→ ${target}`]),
        `mode ${formatMode(mode)}`,
        `owner ${owner}`,
        ...(layer === undefined ? [] : [`layer ${String(layer)}`]),
        ...(Number.isFinite(mtime) && mtime < 8.64e15
          ? [new Date(mtime).toISOString().slice(0, 10)]
          : []),
      ].join(" · "),
    ),
    place,
    content,
  );
  if (!isFile) return;
  try {
    const blob = await ask("readFile", { id, path, limit: MAX_TEXT });
    fill(content, ...showContent(new Uint8Array(await blob.arrayBuffer()), size));
  } catch (error) {
    fill(content, showFailure(error));
  }
}

function showContent(bytes: Uint8Array, size: number): HTMLElement[] {
  const text = textIn(bytes, size > bytes.byteLength);
  if (text === undefined)
    return [el("p", { class: "note" }, "This is not text; save it to open it.")];
  const cut = size > bytes.byteLength;
  const pre = el("pre", { tabindex: "0", "aria-label": "Content" });
  // Set as text, with the lines kept.
  pre.textContent = visibleLines(text);
  return [pre, ...(cut ? [el("p", { class: "note" }, `The first ${formatSize(bytes.byteLength)} of ${formatSize(size)}.`)] : [])]; // prettier-ignore
}

/** Returns the text, if it is UTF-8 without zeros. A cut may split the last character. */
function textIn(bytes: Uint8Array, isCut: boolean): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: isCut });
  } catch {
    return undefined;
  }
}
