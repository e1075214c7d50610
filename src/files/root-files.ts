import { OcicryptError } from "../errors.js";
import { requireEncryptedLayers, requireLayerRecipients, type DecryptPolicy } from "../image/features/decrypt-policy.js"; // prettier-ignore
import { readExpectations } from "../image/features/expected-config.js";
import { openLayer } from "../image/features/open-layer.js";
import { progressMeter, type ImageProgress } from "../image/engine/copy-blobs.js";
import {
  formatPlatform,
  nameOfLayer,
  selectLayers,
  selectManifests,
  type LayerSelection,
} from "../image/manifests/select-layers.js";
import { readImage, type ImageTree, type ManifestNode } from "../image/manifests/tree.js";
import { parts, toReadableStream, type Bytes } from "../io/source.js";
import type { Key } from "../keywrap/types.js";
import { isEncryptedDescriptor } from "../spec/descriptor.js";
import type { ImageSource } from "../store/types.js";
import { decompressed, requireDecompressor } from "./decompress.js";
import { applyLayer } from "./merge.js";
import { createSpool, type Stored } from "./spool.js";
import { readTar } from "./tar-reader.js";
import { emptyTree, type FileTree, type Inode } from "./tree.js";

export interface ImageFilesOptions extends LayerSelection, DecryptPolicy {
  /** Tried on every wrapped key of every selected layer. Default: none, for plain layers. */
  keys?: readonly Key[] | undefined;
  /** Reads layers whose HMAC is right but that cannot be checked against the config. Default: false. */
  allowUnverified?: boolean | undefined;
  /** Called for each layer that only `allowUnverified` accepts, with the reason. */
  onWarning?: ((warning: string) => void) | undefined;
  /** The maximum number of extra threads that hash large layers, as for `encryptLayer`. */
  threads?: number | undefined;
  /**
   * Called after each part that is read. Every selected layer is read twice, first verified and then
   * unpacked, and each time counts half of its size.
   */
  onProgress?: ((progress: ImageProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** The merged files of an image. */
export interface RootFiles {
  /** The digest of the manifest that the files come from. */
  digest: string;
  /** `os/arch`, or `-` if neither an index nor a selection of platforms names it. */
  platform: string;
  tree: FileTree;
  /** Reads the content of a file. */
  content: (file: Inode) => AsyncGenerator<Uint8Array, void, undefined>;
  /** Drops the contents. */
  close: () => Promise<void>;
}

/**
 * Merges the selected layers of an image into one tree of files. Each layer is verified as a whole
 * before anything in it is looked at.
 *
 * @param contents whether `content` is needed; otherwise each layer is dropped once it is merged
 * @throws {@link OcicryptError} `PLATFORM_AMBIGUOUS`, `NOTHING_SELECTED`, `NO_KEYS`,
 *   `LAYER_UNREADABLE`, `COMPRESSION_UNSUPPORTED`, `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`, and
 *   those of `decryptImage`
 */
export async function openRootFiles(
  source: ImageSource,
  options: ImageFilesOptions,
  contents: boolean,
): Promise<RootFiles> {
  const { keys = [], allowUnverified = false, requireBound, threads, signal } = options;
  const image = await readImage(source, options);
  requireEncryptedLayers(image.root, options.requireEncrypted);
  const manifest = onlyManifest(image, options);
  const selected = selectLayers([manifest], options);
  for (const layer of selected) requireDecompressor(layer.descriptor, nameOfLayer(layer));
  const encrypted = selected.filter(({ descriptor }) => isEncryptedDescriptor(descriptor));
  await requireLayerRecipients(encrypted, options.requireRecipients);
  const [first] = encrypted;
  if (first !== undefined && keys.length === 0) {
    throw new OcicryptError("NO_KEYS", `${nameOfLayer(first)} is encrypted, and no key was given`);
  }
  const expected = await readExpectations(source, selected, { allowUnverified, signal });
  const opening = { keys, expected, allowUnverified, requireBound, threads };

  const read = selected.map(({ descriptor }) => descriptor);
  const report = options.onProgress && halved(options.onProgress);
  const meter = progressMeter(image, report, 0, [...read, ...read]);

  const tree = emptyTree();
  const layers = new Map<number, Stored>();
  const kept = createSpool();
  const spool = createSpool();
  async function* content({ place }: Inode): AsyncGenerator<Uint8Array, void, undefined> {
    if (place === undefined) return;
    const { layer, start, end } = place;
    const bytes = parts(layers.get(layer)?.read(start, end) ?? new Uint8Array(), signal);
    for await (const entry of readTar(bytes, `layer ${String(layer)}`)) yield* entry.content();
  }
  const close = async (): Promise<void> => {
    await spool.clear();
    await kept.clear();
  };
  try {
    for (const layer of selected) {
      const { descriptor, index } = layer;
      const where = `layer ${String(index)}`;
      const action = isEncryptedDescriptor(descriptor) ? "decrypt" : "verify";
      const blob = meter.count(source.read(descriptor, { signal }), descriptor, action);
      const opened = await openLayer([layer], blob, opening, signal);
      const stored = await spool.add(opened.content);
      const { checks } = await opened.verify();
      for (const check of checks.filter((each) => each.startsWith("unverified: "))) {
        options.onWarning?.(`${nameOfLayer(layer)} is ${check}`);
      }
      const plain = (): AsyncIterable<Uint8Array> =>
        decompressed(meter.count(parts(stored.read(), signal), descriptor, "unpack"), where);
      if (contents) layers.set(index, await kept.add(plain()));
      const tar = parts(layers.get(index)?.read() ?? plain(), signal);
      await applyLayer(tree, index, readTar(tar, where));
      await spool.clear();
    }
    const platform = formatPlatform(manifest.platform ?? manifest.configPlatform);
    const { digest } = manifest.descriptor;
    return { digest, platform, tree, content, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Counts each of two passes over the same bytes as half of them. */
function halved(report: (progress: ImageProgress) => void): (progress: ImageProgress) => void {
  return ({ bytes, size, ...blob }) => {
    report({ ...blob, bytes: Math.floor(bytes / 2), size: size / 2 });
  };
}

/** Returns a lazy stream of bytes that are read from the merged files of an image. */
export function streamFiles(
  source: ImageSource,
  options: ImageFilesOptions,
  read: (files: RootFiles) => AsyncIterable<Uint8Array>,
): ReadableStream<Bytes> {
  return toReadableStream(async function* (signal) {
    const files = await openRootFiles(source, { ...options, signal }, true);
    try {
      for await (const chunk of read(files)) yield Uint8Array.from(chunk);
    } finally {
      await files.close();
    }
  }, options.signal);
}

/** Returns the manifest of the selected platform. */
function onlyManifest({ manifests, missing }: ImageTree, selection: LayerSelection): ManifestNode {
  const [manifest, ...others] = selectManifests(manifests, selection);
  if (manifest === undefined) {
    const code = missing.length > 0 ? "BLOB_NOT_FOUND" : "NOTHING_SELECTED";
    throw new OcicryptError(code, "the source holds no manifest of the image");
  }
  if (others.length === 0) return manifest;
  const names = [manifest, ...others].slice(0, 20).map(({ platform }) => formatPlatform(platform));
  const more = others.length < 20 ? "" : " and others";
  const message = `the image has several platforms: ${names.join(", ")}${more}`;
  throw new OcicryptError("PLATFORM_AMBIGUOUS", message);
}
