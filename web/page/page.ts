import type { Found, Given } from "../protocol.js";
import { ask } from "./client.js";
import { button, byId, el, fill, named } from "./dom.js";
import { readDrop, readInput } from "./drop.js";
import { addImage, refreshImages } from "./image.js";
import { addKey, addLocked, showKeys } from "./keys.js";
import { showFailure } from "./task.js";

/** The most files that are looked at, one after another. */
const MAX_GIVEN = 200;
/** The most problems that are shown. */
const MAX_PROBLEMS = 20;

const events = { onChange: refreshImages };
let queue = Promise.resolve();

/** Looks at what was given, after what was given before. */
function take(given: Promise<readonly Given[]>): void {
  queue = queue.then(async () => {
    try {
      await takeAll(await given);
    } catch (error) {
      byId("status").textContent = "";
      report(showFailure(error));
    }
  });
}

async function takeAll(given: readonly Given[]): Promise<void> {
  const status = byId("status");
  const counts = { keys: 0, images: 0, known: 0, others: 0 };
  const todo = given.slice(0, MAX_GIVEN);
  for (let i = 0; i < todo.length; i++) {
    const one = todo[i];
    if (one === undefined) continue;
    status.textContent = `Reading ${String(i + 1)} of ${String(todo.length)}…`;
    const found = await ask("add", one);
    if (isPlainDirectory(one, found)) {
      // A directory that is no image may contain keys or archives.
      todo.push(...filesIn(one).slice(0, MAX_GIVEN - todo.length));
      continue;
    }
    counts[show(found)] += 1;
  }
  if (counts.keys > 0) refreshImages();
  if (given.length > MAX_GIVEN) {
    const rest = given.length - MAX_GIVEN;
    report(el("p", { class: "error" }, `${String(rest)} of ${String(given.length)} files were not read: add fewer at once.`)); // prettier-ignore
  }
  status.textContent = summary(counts);
}

function isPlainDirectory(given: Given, found: Found): boolean {
  const isNone = found.kind === "unknown" && found.problem.code === "IMAGE_NOT_FOUND";
  return isNone && given.kind === "directory" && given.files.length > 0;
}

function filesIn(given: Given): Given[] {
  if (given.kind === "file") return [given];
  return given.files.flatMap(({ content }): Given[] =>
    content instanceof File ? [{ kind: "file", file: content }] : [],
  );
}

interface Counts {
  keys: number;
  images: number;
  known: number;
  others: number;
}

function show(found: Found): keyof Counts {
  switch (found.kind) {
    case "key":
      addKey(found.key);
      showKeys(events);
      return "keys";
    case "locked":
      addLocked(found.locked, events);
      showKeys(events);
      return "keys";
    case "image":
      addImage(found.image);
      return "images";
    case "known":
      return "known";
    default:
      report(el("div", {}, named(found.name, { class: "name" }), showFailure(Object.assign(new Error(found.problem.message), found.problem)))); // prettier-ignore
      return "others";
  }
}

function summary({ keys, images, known, others }: Counts): string {
  const parts = [
    ...(images > 0 ? [`${String(images)} image${images === 1 ? "" : "s"} opened`] : []),
    ...(keys > 0 ? [`${String(keys)} key file${keys === 1 ? "" : "s"} added`] : []),
    ...(known > 0 ? [`${String(known)} already here`] : []),
    ...(others > 0 ? [`${String(others)} not recognised`] : []),
  ];
  return parts.length === 0 ? "" : `${parts.join(", ")}.`;
}

function report(problem: HTMLElement): void {
  const place = byId("problems");
  const item = el("div", { class: "problem" }, problem);
  const dismiss = button("Dismiss", () => {
    item.remove();
  });
  item.append(dismiss);
  place.append(item);
  while (place.childElementCount > MAX_PROBLEMS) place.firstElementChild?.remove();
}

function choose(buttonId: string, inputId: string): void {
  const input = byId(inputId) as HTMLInputElement;
  byId(buttonId).addEventListener("click", () => {
    input.click();
  });
  input.addEventListener("change", () => {
    take(Promise.resolve(readInput(input)));
    // The same file can be chosen again.
    input.value = "";
  });
}

function acceptDrops(): void {
  let depth = 0;
  const mark = (change: number): void => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  document.addEventListener("dragenter", (event) => {
    event.preventDefault();
    mark(1);
  });
  document.addEventListener("dragleave", () => {
    mark(-1);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    if (event.dataTransfer !== null) event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-depth);
    if (event.dataTransfer !== null) take(readDrop(event.dataTransfer));
  });
}

choose("choose-files", "files");
choose("choose-directory", "directory");
acceptDrops();
showKeys(events);
fill(byId("status"));
