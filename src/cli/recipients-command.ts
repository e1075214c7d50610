import {
  addImageRecipients,
  listImageRecipients,
  removeImageRecipients,
  replaceImageRecipients,
  rotateImage,
  type EditRecipientsResult,
  type ImageProgress,
  type Profile,
  type Selection,
} from "../image/index.js";
import type { Key, Recipient } from "../keywrap/types.js";
import type { RecipientSelector } from "../layer/recipients.js";
import type { ImageDestination, ImageSource } from "../store/index.js";
import type { CommandResult } from "./command-result.js";
import { shownImage } from "./images.js";
import { renderEdited, renderRecipients, renderRotated } from "./recipients-render.js";

/** An image that is read. */
export interface ReadImage {
  /** As it was written. */
  image: string;
  from: ImageSource;
  selection: Selection;
  signal: AbortSignal;
}

/** An image that is changed where it is. */
export interface EditedImage extends ReadImage {
  to: ImageDestination;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
}

/** An image that is written to another place, or to its own. */
export interface RotatedImage extends ReadImage {
  to: ImageDestination;
  destination: string;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
}

export interface NewRecipients {
  recipients: readonly Recipient[];
  keys: readonly Key[];
  compat: Profile;
}

export async function recipientsList(read: ReadImage): Promise<CommandResult> {
  const { image, from, selection, signal } = read;
  const result = await listImageRecipients(from, { ...selection, signal });
  return { text: renderRecipients(result), json: { image, ...result }, warnings: [] };
}

export async function recipientsAdd(
  edited: EditedImage,
  added: NewRecipients,
): Promise<CommandResult> {
  const options = { ...editOptions(edited), ...added };
  return commandResult(edited, await addImageRecipients(edited.from, edited.to, options));
}

export async function recipientsRemove(
  edited: EditedImage,
  recipients: readonly RecipientSelector[],
): Promise<CommandResult> {
  const options = { ...editOptions(edited), recipients };
  return commandResult(edited, await removeImageRecipients(edited.from, edited.to, options));
}

export async function recipientsReplace(
  edited: EditedImage,
  added: NewRecipients,
): Promise<CommandResult> {
  const options = { ...editOptions(edited), ...added };
  return commandResult(edited, await replaceImageRecipients(edited.from, edited.to, options));
}

export async function rotate(rotated: RotatedImage, added: NewRecipients): Promise<CommandResult> {
  const { image, destination, from, to, selection, signal, onProgress } = rotated;
  const options = { ...selection, signal, onProgress, ...added };
  const result = await rotateImage(from, to, options);
  return {
    text: renderRotated(result, shownImage(destination)),
    json: { source: image, destination, ...result },
    warnings: result.warnings,
  };
}

function editOptions({ selection, signal, onProgress }: EditedImage) {
  return { ...selection, signal, onProgress };
}

function commandResult({ image }: EditedImage, result: EditRecipientsResult): CommandResult {
  return {
    text: renderEdited(result, shownImage(image)),
    json: { source: image, destination: image, ...result },
    warnings: result.warnings,
  };
}
