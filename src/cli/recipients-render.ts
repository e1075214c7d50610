import type { EditRecipientsResult, EncryptImageResult, ImageRecipients } from "../image/index.js";
import { layerLine, recipientText, short } from "./render.js";
import { plural, printable } from "./text.js";

/** The result of `recipients list` as text. */
export function renderRecipients({ digest, layers }: ImageRecipients): string {
  if (layers.length === 0) return `no layer is encrypted\n`;
  const lines = layers.flatMap((layer) => [
    layerTitle(layer),
    ...layer.recipients.map((recipient) => `    ${recipientText(recipient)}`),
  ]);
  return [digest, ...lines, ""].join("\n");
}

/** The result of `recipients add`, `remove` or `replace` as text. */
export function renderEdited(result: EditRecipientsResult, image: string): string {
  const { layers, changed } = result;
  const lines = layers.flatMap((layer) => [
    layerTitle(layer),
    ...layer.removed.map((recipient) => `    removed  ${recipientText(recipient)}`),
    ...layer.added.map((recipient) => `    added  ${recipientText(recipient)}`),
    ...layer.present.map((recipient) => `    is there already  ${recipientText(recipient)}`),
    ...layer.kept.map((recipient) => `    stays  ${recipientText(recipient)}`),
  ]);
  const title = changed
    ? `changed the recipients of ${plural(layers.filter(isChanged).length, "layer")}`
    : "nothing to change";
  return [title, ...lines, `${image} is ${result.image.digest}`, ""].join("\n");
}

/** The result of `rotate` as text. */
export function renderRotated(result: EncryptImageResult, destination: string): string {
  const title = `gave ${plural(result.layers.length, "layer")} a new key`;
  const lines = result.layers.map(layerLine);
  return [title, ...lines, `${destination} is ${result.image.digest}`, ""].join("\n");
}

function isChanged({ added, removed }: EditRecipientsResult["layers"][number]): boolean {
  return added.length + removed.length > 0;
}

function layerTitle(layer: { platform: string; index: number; digest: string }): string {
  const where = layer.platform === "-" ? "" : `${printable(layer.platform)}  `;
  return `  ${where}layer ${String(layer.index)}  ${short(layer.digest)}`;
}
