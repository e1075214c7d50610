import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { OcicryptError } from "../errors.js";
import { isAbsent, readError } from "../io/files.js";
import type { Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../spec/limits.js";
import { mediaTypeOf, parseDocument } from "../spec/manifest.js";

/*
 * containerd's content store: each blob is a file named by its digest,
 * https://github.com/containerd/containerd/blob/main/plugins/content/local/store.go
 */

/** The facts about a layer that a stream processor can know. */
export interface LayerIdentity {
  digest: string;
  /** In bytes. */
  size: number;
  /** The encrypted type, from `STREAM_PROCESSOR_MEDIATYPE`. */
  mediaType?: string | undefined;
}

/**
 * Opens a blob.
 *
 * @returns `undefined` if the store has no blob with this digest and size
 * @throws {@link OcicryptError} `SOURCE_UNREADABLE`, `DESCRIPTOR_INVALID`
 */
export async function openBlob(
  store: string,
  { digest, size }: LayerIdentity,
): Promise<FileHandle | undefined> {
  const { algorithm, hex } = parseDigest(digest);
  const path = join(store, "blobs", algorithm, hex);
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const stats = await file.stat();
    if (stats.isFile() && stats.size === size) return file;
    await file.close();
    return undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw readError(error, path);
  }
}

/** The number of files after which the event loop runs other work. */
const BREATH = 256;

/**
 * Yields the descriptors of a layer from the manifests in the store. The newest manifests come
 * first, because a layer is usually unpacked just after its manifest was stored. Descriptors with
 * the same annotations are yielded once.
 *
 * @throws {@link OcicryptError} `SOURCE_UNREADABLE` if the store cannot be read
 */
export async function* findDescriptors(
  store: string,
  layer: LayerIdentity,
  signal: AbortSignal,
): AsyncGenerator<Descriptor, void, undefined> {
  const directory = join(store, "blobs", "sha256");
  const seen = new Set<string>();
  let count = 0;
  for (const name of await newestFirst(directory, signal)) {
    if (count++ % BREATH === 0) await setImmediate();
    signal.throwIfAborted();
    const document = readDocument(join(directory, name));
    if (document?.includes(layer.digest) !== true) continue;
    for (const descriptor of layersIn(document)) {
      if (!matches(descriptor, layer)) continue;
      const annotations = JSON.stringify(descriptor.annotations ?? {});
      if (seen.has(annotations)) continue;
      seen.add(annotations);
      yield descriptor;
    }
  }
}

function matches(descriptor: Descriptor, { digest, size, mediaType }: LayerIdentity): boolean {
  return (
    descriptor.digest === digest &&
    descriptor.size === size &&
    (mediaType === undefined || descriptor.mediaType === mediaType)
  );
}

/** The names of all files that may be manifests. Synchronous calls take a tenth of the time. */
async function newestFirst(directory: string, signal: AbortSignal): Promise<string[]> {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    throw readError(error, directory);
  }
  const files: { name: string; time: number }[] = [];
  for (const [i, name] of names.entries()) {
    if (i % BREATH === 0) await setImmediate();
    signal.throwIfAborted();
    // Blobs come and go.
    const stats = statSync(join(directory, name), { throwIfNoEntry: false });
    if (stats?.isFile() === true && stats.size <= MAX_MANIFEST_SIZE) {
      files.push({ name, time: stats.mtimeMs });
    }
  }
  return files.sort((a, b) => b.time - a.time).map(({ name }) => name);
}

/** Returns a file that may be JSON; `undefined` for layers, and for blobs that are gone. */
function readDocument(path: string): Buffer | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    const first = Buffer.alloc(1);
    readSync(fd, first, 0, 1, 0);
    if (!"{ \t\r\n".includes(first.toString("latin1"))) return undefined;
    return readFileSync(fd);
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The layers of a manifest; none of any other document, or of one that this library rejects. */
function layersIn(document: Buffer): Descriptor[] {
  try {
    const parsed = parseDocument(document, mediaTypeOf(document));
    return parsed.kind === "manifest" ? parsed.layers.map(({ descriptor }) => descriptor) : [];
  } catch (error) {
    if (error instanceof OcicryptError) return [];
    throw error;
  }
}
