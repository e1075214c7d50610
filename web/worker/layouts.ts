import { openBlobs, type BlobLayout } from "../../src/blobs/index.js";
import { OcicryptError } from "../../src/errors.js";
import { inspectImage, type ImageReport } from "../../src/image/index.js";
import type { ImageSource } from "../../src/store/types.js";
import type { Found, Given, ImageName } from "../protocol.js";
import type { Context } from "./context.js";
import { newId } from "./ids.js";
import { allKeys } from "./keyring.js";

interface Entry {
  layout: BlobLayout;
  /** The digests of its images, so that a layout that is given twice is opened once. */
  digests: string;
}

const entries = new Map<number, Entry>();

/** @throws {@link OcicryptError} as `openBlobs` */
export async function addLayout(given: Given, signal: AbortSignal): Promise<Found> {
  const [name, input] =
    given.kind === "file" ? [given.file.name, given.file] : [given.name, given.files];
  const layout = await openBlobs(input, { name, signal });
  const found: string[] = [];
  for (const image of layout.images) {
    found.push((await layout.source(image).resolve({ signal })).digest);
  }
  if (found.length === 0) throw new OcicryptError("IMAGE_NOT_FOUND", `${name} holds no image`);
  const digests = found.join(" ");
  for (const twin of entries.values()) {
    if (twin.digests === digests) return { kind: "known", name, as: twin.layout.name };
  }
  const id = newId();
  entries.set(id, { layout, digests });
  const images = layout.images.map(({ tag, digest }) => tag ?? digest ?? "");
  return { kind: "image", image: { id, name, images } };
}

export function inspect(image: ImageName, { signal }: Context): Promise<ImageReport> {
  return inspectImage(sourceOf(image), { keys: allKeys(), signal });
}

export function forgetLayout(id: number): void {
  entries.delete(id);
}

/** @throws if the layout was removed in the meantime */
export function sourceOf({ id, index }: ImageName): ImageSource {
  const { layout } = entries.get(id) ?? {};
  const image = layout?.images[index];
  if (layout === undefined || image === undefined) throw new Error("the image was removed");
  return layout.source(image);
}

export function nameOf({ id, index }: ImageName): { file: string; tag: string | undefined } {
  const { layout } = entries.get(id) ?? {};
  return { file: layout?.name ?? "image", tag: layout?.images[index]?.tag };
}
