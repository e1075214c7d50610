import type { ImageReport, ManifestReport } from "../../src/image/index.js";
import type { ImageName, ImageView } from "../protocol.js";
import { ask } from "./client.js";
import { button, byId, el, fill, named } from "./dom.js";
import { showFiles } from "./files.js";
import { publicKeys } from "./keys.js";
import { openable, showLayers } from "./layers.js";
import { offer } from "./save.js";
import { runTask, showFailure } from "./task.js";
import { count } from "./words.js";

/** The most platforms that are shown. */
const MAX_MANIFESTS = 100;

interface Card {
  view: ImageView;
  /** The image of the layout that is shown. */
  index: number;
  element: HTMLElement;
  details: HTMLElement;
  /**
   * The panels of files by the digest of their manifest, and the one of the whole image with an empty
   * name. They outlive a change of the keys.
   */
  panels: Map<string, HTMLElement>;
  /** Counts the looks at the image, because a slow one must not replace a later one. */
  looks: number;
}

const cards = new Map<number, Card>();

/** Shows an image. */
export function addImage(view: ImageView): void {
  const details = el("div", { class: "details" });
  const title = `image-${String(view.id)}`;
  const heading = el("h2", { id: title, tabindex: "-1" }, named(view.name));
  const element = el("article", { "aria-labelledby": title });
  const card: Card = { view, index: 0, element, details, panels: new Map(), looks: 0 };
  const remove = button("Remove", () => void forget(card), { "aria-label": `Remove ${view.name}` });
  const choice = chooser(card);
  fill(element, el("div", { class: "title" }, heading, remove), choice, details);
  cards.set(view.id, card);
  byId("images").append(element);
  void look(card);
}

/** Looks at all images again, because the keys have changed. */
export function refreshImages(): void {
  for (const card of cards.values()) void look(card);
}

async function forget({ view: { id }, element }: Card): Promise<void> {
  cards.delete(id);
  element.remove();
  await ask("forget", { id });
  byId("drop-title").focus();
}

/** The choice among the images of a layout, if it has several. */
function chooser(card: Card): HTMLElement | undefined {
  const { id, images } = card.view;
  if (images.length < 2) return undefined;
  const select = el("select", { id: `choice-${String(id)}` });
  select.append(...images.map((name, i) => el("option", { value: String(i) }, name)));
  select.addEventListener("change", () => {
    card.index = select.selectedIndex;
    card.panels.clear();
    void look(card);
  });
  const label = el("label", { for: select.id }, `${count(images.length, "image")} in this layout `);
  return el("p", {}, label, select);
}

async function look(card: Card): Promise<void> {
  const image: ImageName = { id: card.view.id, index: card.index };
  const number = (card.looks += 1);
  card.element.setAttribute("aria-busy", "true");
  let shown: HTMLElement[];
  try {
    shown = showReport(card, image, await ask("inspect", image));
  } catch (error) {
    shown = [el("div", { role: "alert" }, showFailure(error))];
  }
  if (number !== card.looks) return;
  card.element.removeAttribute("aria-busy");
  fill(card.details, ...shown);
}

function showReport(card: Card, image: ImageName, report: ImageReport): HTMLElement[] {
  const { digest, mediaType, manifests, missing = [] } = report;
  const shown = manifests.slice(0, MAX_MANIFESTS);
  const more = manifests.length - shown.length;
  return [
    el(
      "p",
      { class: "note" },
      el("code", { class: "digest" }, digest),
      " ",
      el("code", {}, mediaType),
    ),
    ...shown.map((manifest) => showManifest(card, image, manifest)),
    ...(more > 0 ? [el("p", { class: "note" }, `and ${String(more)} more platforms`)] : []),
    ...missing
      .slice(0, MAX_MANIFESTS)
      .map(({ platform }) => el("p", { class: "note" }, `${platform} is not in this file.`)),
    showActions(card, image, manifests),
  ];
}

function panelOf({ panels }: Card, name: string): HTMLElement {
  const panel = panels.get(name) ?? el("div", { class: "panel" });
  panels.set(name, panel);
  return panel;
}

function showManifest(card: Card, image: ImageName, manifest: ManifestReport): HTMLElement {
  const { platform, digest, layers } = manifest;
  const panel = panelOf(card, digest);
  const some = openable(manifest);
  const open = async (): Promise<void> => {
    const former = panel.dataset.files;
    if (former !== undefined) await ask("forget", { id: Number(former) });
    const input = { ...image, platform, layers: some.map(({ index }) => index) };
    const files = await runTask(panel, "Decrypting and verifying", "openFiles", input);
    if (files === undefined) return;
    panel.dataset.files = String(files.id);
    showFiles(panel, files);
  };
  const isAll = some.length === layers.length;
  const which = isAll ? "" : ` of ${count(some.length, "layer")} out of ${String(layers.length)}`;
  const action = layers.some(({ encrypted }) => encrypted) ? "Decrypt and show" : "Show";
  return el(
    "section",
    { class: "manifest" },
    platform !== "-" && el("h3", {}, platform),
    showLayers(manifest),
    some.length > 0
      ? button(`${action} the files${which}`, () => void open(), { class: "main open" })
      : el("p", { class: "note" }, "Add a private key of one of the recipients to see the files."),
    panel,
  );
}

/** The operations on the image as a whole. */
function showActions(
  card: Card,
  image: ImageName,
  manifests: readonly ManifestReport[],
): HTMLElement {
  const place = panelOf(card, "");
  const layers = manifests.flatMap((manifest) => manifest.layers);
  const opened = manifests.flatMap(openable);
  const isEncrypted = layers.some(({ encrypted }) => encrypted);
  const decrypt = async (): Promise<void> => {
    const archive = await runTask(place, "Decrypting and verifying", "decrypt", image);
    if (archive !== undefined) offer(place, archive);
  };
  const actions: HTMLElement[] = [];
  if (isEncrypted && opened.length === layers.length) {
    actions.push(button("Decrypt into an archive", () => void decrypt()));
  }
  if (!isEncrypted && layers.length > 0) {
    actions.push(
      button("Encrypt", () => {
        showEncryption(place, image);
      }),
    );
  }
  return el("div", { class: "actions" }, el("div", { class: "row" }, ...actions), place);
}

/** Lets the user choose the recipients. */
function showEncryption(place: HTMLElement, image: ImageName): void {
  const keys = publicKeys();
  if (keys.length === 0) {
    const advice = "Add the public keys or certificates of the recipients first.";
    fill(place, el("p", { role: "alert", class: "note" }, advice));
    return;
  }
  const boxes = keys.map(({ id }) => {
    const attributes = { type: "checkbox", id: `for-${String(id)}`, checked: true };
    return el("input", { ...attributes, value: String(id) });
  });
  const items = keys.map(({ name }, i) => {
    const box = boxes[i];
    return el("li", {}, box, el("label", { for: box?.id }, " ", named(name)));
  });
  const form = el(
    "form",
    {},
    el("fieldset", {}, el("legend", {}, "Encrypt all layers for"), el("ul", { class: "plain" }, ...items)), // prettier-ignore
    el("button", { type: "submit", class: "main" }, "Encrypt into an archive"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const recipients = boxes.filter(({ checked }) => checked).map(({ value }) => Number(value));
    void runTask(place, "Encrypting", "encrypt", { ...image, recipients }).then((archive) => {
      if (archive !== undefined) offer(place, archive);
    });
  });
  fill(place, form);
  boxes[0]?.focus();
}
