import { toUtf8 } from "#engine/bytes";
import { OcicryptError } from "../../errors.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { parseDigest } from "../../spec/digest.js";
import { ANY, asObject, parseJson, struct } from "../../text/json.js";
import { type Descriptor, REF_NAME } from "../../spec/descriptor.js";
import { applyEdits, locate, member } from "../../text/json-edits.js";
import { parseDocument, type LocatedDescriptor } from "../../spec/manifest.js";
import { MEDIA_TYPE_INDEX } from "../../spec/media-types.js";

const MAX_MARK_SIZE = 4096;

/** Reads a small file of a layout by its name; returns `undefined` if it does not exist. */
export type ReadLayoutFile = (name: string, limit: number) => Promise<Uint8Array | undefined>;

/** The name of a blob in a layout. */
export function blobName(digest: string): string {
  const { algorithm, hex } = parseDigest(digest);
  return `blobs/${algorithm}/${hex}`;
}

/**
 * Checks the file `oci-layout`, which marks a directory or an archive as an OCI layout.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND` if it is missing, `LAYOUT_INVALID` for another
 *   version
 */
export async function requireLayout(path: string, read: ReadLayoutFile): Promise<void> {
  const mark = await read("oci-layout", MAX_MARK_SIZE);
  if (mark === undefined) {
    await refuseDocker(path, read);
    throw new OcicryptError("IMAGE_NOT_FOUND", `there is no OCI layout at ${path}`);
  }
  if (versionOf(path, mark) !== "1.0.0") {
    throw new OcicryptError("LAYOUT_INVALID", `${path} is not an OCI layout of version 1.0.0`);
  }
}

/**
 * Rejects the output of `docker save` and `skopeo copy … dir:`, which have a `manifest.json`
 * instead.
 */
async function refuseDocker(path: string, read: ReadLayoutFile): Promise<void> {
  const bytes = await read("manifest.json", MAX_MANIFEST_SIZE);
  if (bytes === undefined) return;
  const isDirectory = toUtf8(bytes).trimStart().startsWith("{");
  const transport = isDirectory ? "dir" : "docker-archive";
  const kind = isDirectory ? "a directory of skopeo" : "an archive of docker save";
  const message = `${path} is ${kind}; as a source, write ${transport}:${path}`;
  throw new OcicryptError("LAYOUT_INVALID", message);
}

function versionOf(path: string, mark: Uint8Array): unknown {
  const refuse = (why: string): OcicryptError =>
    new OcicryptError("LAYOUT_INVALID", `the file oci-layout of ${path} cannot be used: ${why}`);
  const shape = struct({ imageLayoutVersion: ANY });
  return asObject(parseJson(mark, { shape, maxSize: MAX_MARK_SIZE, refuse }))?.imageLayoutVersion;
}

/** A layout's `index.json`: https://github.com/opencontainers/image-spec/blob/main/image-layout.md */
export interface LayoutIndex {
  text: string;
  entries: LocatedDescriptor[];
}

export const EMPTY_INDEX: LayoutIndex = { text: '{"schemaVersion":2,"manifests":[]}', entries: [] };

/** @throws {@link OcicryptError} `MANIFEST_INVALID` */
export function parseLayoutIndex(bytes: Uint8Array): LayoutIndex {
  const document = parseDocument(bytes, MEDIA_TYPE_INDEX);
  if (document.kind !== "index") throw new TypeError("unreachable");
  return { text: document.text, entries: document.manifests };
}

/**
 * Returns the entry that a reference names: the entry with its tag, or the only entry.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`
 */
export function findEntry(index: LayoutIndex, path: string, tag: string | undefined): Descriptor {
  const found = index.entries
    .map(({ descriptor }) => descriptor)
    .filter((entry) => tag === undefined || nameOf(entry) === tag);
  const [first, ...others] = found;
  if (first !== undefined && others.every(({ digest }) => digest === first.digest)) return first;
  const names = index.entries.map(({ descriptor }) => nameOf(descriptor));
  const known = names.filter((name) => name !== undefined).slice(0, 20);
  const choice = known.length === 0 ? "no named image" : `these: ${known.join(", ")}`;
  const called = tag === undefined ? "" : ` with the tag ${tag}`;
  if (first !== undefined && tag !== undefined) {
    const digests = [...new Set(found.map(({ digest }) => digest))].slice(0, 5).join(", ");
    const message = `${path} holds several images${called}; name one by its digest, as ${path}@DIGEST: ${digests}`;
    throw new OcicryptError("IMAGE_NOT_FOUND", message);
  }
  const problem = first === undefined ? `no image${called}` : "several images; name one";
  throw new OcicryptError("IMAGE_NOT_FOUND", `${path} holds ${problem}; it has ${choice}`);
}

/** Returns the entry that an image replaces, which is the entry with the same name. */
export function findReplaced(index: LayoutIndex, image: Descriptor): Descriptor | undefined {
  return replacedEntries(index, image)[0]?.descriptor;
}

function replacedEntries(index: LayoutIndex, image: Descriptor): LocatedDescriptor[] {
  const name = nameOf(image);
  const found = index.entries.filter(({ descriptor }) => nameOf(descriptor) === name);
  return name === undefined && found.length > 1 ? [] : found;
}

/** Finds the image with this name in `index.json`; returns `undefined` if several have it. */
export async function findNamed(
  read: ReadLayoutFile,
  name: string,
): Promise<Descriptor | undefined> {
  const bytes = await read("index.json", MAX_MANIFEST_SIZE);
  const { entries } = bytes === undefined ? EMPTY_INDEX : parseLayoutIndex(bytes);
  const found = entries.map(({ descriptor }) => descriptor).filter((each) => nameOf(each) === name);
  return found.length === 1 ? found[0] : undefined;
}

/** Returns the text of the index with a new image, which replaces the image of the same name. */
export function replaceEntry(index: LayoutIndex, image: Descriptor): string {
  const replacement = JSON.stringify(image);
  const replaced = replacedEntries(index, image);
  const place = index.entries.findIndex((entry) => entry === replaced[0]);
  const items = index.entries.flatMap((entry, i) => {
    if (i === place) return [replacement];
    return replaced.includes(entry) ? [] : [index.text.slice(entry.node.start, entry.node.end)];
  });
  if (place < 0) items.push(replacement);
  const array = member(locate(index.text), "manifests");
  if (array === undefined) throw new TypeError("unreachable");
  return applyEdits(index.text, [
    { start: array.start, end: array.end, text: `[${items.join(",")}]` },
  ]);
}

/** The small files of a layout with one image, by their names. */
export function layoutFiles(image: Descriptor): [name: string, text: string][] {
  return [
    ["oci-layout", '{"imageLayoutVersion":"1.0.0"}'],
    ["index.json", replaceEntry(EMPTY_INDEX, image)],
  ];
}

/** The name of an entry of `index.json`. */
export function nameOf(image: Descriptor): string | undefined {
  return image.annotations?.[REF_NAME];
}

/**
 * Returns the image with the tag of a reference as its name; without a tag it keeps its own name.
 */
export function withName(image: Descriptor, tag: string | undefined): Descriptor {
  if (tag === undefined) return image;
  return { ...image, annotations: { ...image.annotations, [REF_NAME]: tag } };
}
