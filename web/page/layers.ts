import type { LayerKeyReport, LayerReport, ManifestReport } from "../../src/image/index.js";
import { el, named, type Child } from "./dom.js";
import { schemes } from "./keys.js";
import { formatSize, shortDigest } from "./words.js";

/** The most rows and entries that are shown; hostile manifests have more. */
const MAX_ROWS = 500;
const MAX_ENTRIES = 50;

/** Returns a table of the layers of a manifest. */
export function showLayers({ layers, platform }: ManifestReport): HTMLElement {
  const titles = ["Layer", "Size", "Media type", "Recipients", "Keys"];
  const seen = new Map<string, number>();
  const rows = layers.slice(0, MAX_ROWS).map((layer) => showLayer(layer, twinOf(layer, seen)));
  const more = layers.length - rows.length;
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      {},
      el("caption", {}, `Layers of ${platform === "-" ? "the image" : platform}`),
      el("thead", {}, el("tr", {}, ...titles.map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, ...rows),
    ),
    more > 0 && el("p", { class: "note" }, `and ${String(more)} more layers`),
  );
}

/** The first layer with the same recipients and keys, if there is one above this layer. */
function twinOf({ index, recipients, keys }: LayerReport, seen: Map<string, number>): number {
  const both = JSON.stringify([recipients, keys]);
  const twin = seen.get(both) ?? index;
  seen.set(both, twin);
  return twin;
}

function showLayer(layer: LayerReport, twin: number): HTMLElement {
  const { index, size, mediaType, digest, encrypted, recipients, keys } = layer;
  const same =
    encrypted && twin !== index
      ? el("span", { class: "note" }, `as layer ${String(twin)}`)
      : undefined;
  const state = encrypted ? "encrypted" : "plain";
  return el(
    "tr",
    { class: state },
    el(
      "th",
      { scope: "row" },
      el("span", { class: "number" }, String(index)),
      el("span", { class: `state ${state}` }, state),
      el("code", { class: "digest", title: digest }, shortDigest(digest)),
    ),
    cell("Size", formatSize(size)),
    cell("Media type", el("code", {}, ...breakable(mediaType))),
    cell(
      "Recipients",
      same?.cloneNode(true) ?? listOf(recipients.map(describeRecipient), encrypted ? "none" : "–"),
    ),
    cell("Keys", same ?? listOf(keys.map(describeKey), encrypted ? "no key was given" : "–")),
  );
}

/** On narrow screens, each cell has its title beside it. */
function cell(title: string, content: Child): HTMLElement {
  return el("td", { "data-title": title }, content);
}

/** A line may break between the parts of a media type. */
function breakable(mediaType: string): Child[] {
  return mediaType
    .slice(0, 200)
    .split(/(?<=[/.+])/)
    .flatMap((part) => [part, el("wbr")]);
}

function listOf(entries: readonly Child[], none: string): Child {
  if (entries.length === 0) return el("span", { class: "note" }, none);
  const more = entries.length - MAX_ENTRIES;
  const items = entries.slice(0, MAX_ENTRIES).map((entry) => el("li", {}, entry));
  return el(
    "ul",
    { class: "plain" },
    ...items,
    more > 0 && el("li", { class: "note" }, `and ${String(more)} more`),
  );
}

function describeRecipient(recipient: LayerReport["recipients"][number]): Child {
  const { scheme, algorithm, keyId, problem, warnings = [] } = recipient;
  if (problem !== undefined)
    return el("span", { class: "error" }, `${schemes([scheme])}: ${problem}`);
  return el(
    "span",
    {},
    `${schemes([scheme])}${algorithm === undefined ? "" : ` ${algorithm}`} `,
    keyId !== undefined && el("code", { class: "id" }, keyId),
    ...warnings.map((warning) => el("span", { class: "warning" }, ` ${warning}`)),
  );
}

function describeKey({ key, opens, reasons, binding }: LayerKeyReport): Child {
  if (!opens) {
    const why = reasons.slice(0, 5).join("; ");
    return el("span", { class: "no" }, named(key), el("span", { class: "note" }, ` does not open it: ${why}`)); // prettier-ignore
  }
  return el(
    "span",
    { class: "yes" },
    named(key),
    " opens it",
    binding === "mismatch" && el("span", { class: "error" }, ", but it is bound to another image"),
  );
}

/** The layers whose files can be read with the keys that were given. */
export function openable({ layers }: ManifestReport): LayerReport[] {
  return layers.filter(({ encrypted, keys }) => !encrypted || keys.some(({ opens }) => opens));
}
