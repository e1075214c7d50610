import { blobDestination } from "../../src/blobs/index.js";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import type { Archive, ImageName, Operations } from "../protocol.js";
import { progressOf, type Context } from "./context.js";
import { allKeys, recipientsOf } from "./keyring.js";
import { nameOf, sourceOf } from "./layouts.js";

/** Decrypts all layers of an image, after the same checks as the command. */
export async function decrypt(image: ImageName, context: Context): Promise<Archive> {
  const { file, tag } = nameOf(image);
  const destination = blobDestination({ tag });
  const { layers, warnings } = await decryptImage(sourceOf(image), destination, {
    ...{ keys: allKeys(), signal: context.signal, onProgress: progressOf(context.report) },
  });
  const lines = layers.map(
    ({ platform, index, diffId, bound }) =>
      `${layerName(platform, index)}: diffID ${diffId}${bound ? ", bound to this image" : ""}`,
  );
  return { name: archiveName(file, "decrypted"), blob: destination.archive(), lines, warnings };
}

/** Encrypts all layers of an image for the recipients in some key files. */
export async function encrypt(
  { recipients: files, ...image }: Operations["encrypt"]["takes"],
  context: Context,
): Promise<Archive> {
  const { file, tag } = nameOf(image);
  const destination = blobDestination({ tag });
  const { layers, warnings } = await encryptImage(sourceOf(image), destination, {
    recipients: recipientsOf(files),
    ...{ signal: context.signal, onProgress: progressOf(context.report) },
  });
  const lines = layers.map(({ platform, index }) => `${layerName(platform, index)}: encrypted`);
  return { name: archiveName(file, "encrypted"), blob: destination.archive(), lines, warnings };
}

function layerName(platform: string, index: number): string {
  return platform === "-" ? `Layer ${String(index)}` : `${platform}, layer ${String(index)}`;
}

/** `app.tar` becomes `app-encrypted.tar`. */
function archiveName(file: string, what: string): string {
  return `${file.replace(/\.(?:tar|tgz|tar\.gz)$/i, "")}-${what}.tar`;
}
