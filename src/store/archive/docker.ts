import { createHash } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import { single } from "../../io/source.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { digestOf } from "../../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { MEDIA_TYPE_MANIFEST } from "../../spec/media-types.js";
import { ANY, asObject, isTexts, parseJson, struct, type JsonObject } from "../../text/json.js";
import { parseLayoutIndex } from "../layout/format.js";
import type { ImageSource } from "../types.js";
import { invalid } from "./headers.js";
import type { FilePart } from "./scan.js";
import {
  openArchive,
  readIn,
  readPart,
  sourceIn,
  type Archive,
  type OpenArchive,
} from "./source.js";

const LAYER = "application/vnd.oci.image.layer.v1.tar";
const CONFIG = "application/vnd.oci.image.config.v1+json";
/** Where `docker save` writes whole names; `org.opencontainers.image.ref.name` is the tag alone. */
const WHOLE_NAME = "io.containerd.image.name";
/** Docker itself makes no image with more than 127 layers. */
const MAX_LAYERS = 10_000;

/** An image in an archive of `docker save`. */
export interface DockerImage {
  /** How messages name the archive. */
  path: string;
  /** The name of the image, such as `app:1`. Default: the only image in the archive. */
  name?: string | undefined;
}

/**
 * Returns a source that reads an image from an archive that `docker save`, `podman save`, skopeo,
 * crane or jib wrote
 * (https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format).
 * Such an archive has no OCI manifest, so the source makes one from the config and the layers.
 * Archives of newer versions of Docker also contain an OCI layout; the image is then read from the
 * layout.
 *
 * Its functions reject as those of an OCI archive.
 */
export function dockerArchiveSource(image: DockerImage): ImageSource {
  return savedSource(image, (signal) => openArchive(image.path, signal));
}

/** The same of an archive that is opened in another way. */
export function savedSource(image: DockerImage, openIt: OpenArchive): ImageSource {
  let opened: Promise<ImageSource> | undefined;
  const open = async (signal?: AbortSignal): Promise<ImageSource> => {
    const archive = await openIt(signal);
    if (archive.files.has("oci-layout")) return layoutIn(image, archive);
    return combinedSource(image, archive);
  };
  return {
    async resolve(options) {
      opened = open(options?.signal);
      return (await opened).resolve(options);
    },
    async *read(descriptor, options) {
      yield* (await (opened ??= open(options?.signal))).read(descriptor, options);
    },
    async contains(descriptor, options) {
      const source = await (opened ??= open(options?.signal));
      return (await source.contains?.(descriptor, options)) ?? true;
    },
  };
}

async function layoutIn({ path, name }: DockerImage, archive: Archive): Promise<ImageSource> {
  const openIt = (): Promise<Archive> => Promise.resolve(archive);
  if (name === undefined) return sourceIn({ path }, openIt);
  const bytes = await readIn(archive)("index.json", MAX_MANIFEST_SIZE);
  const entries = bytes === undefined ? [] : parseLayoutIndex(bytes).entries;
  const found = entries.filter(({ descriptor: { annotations } }) => {
    const whole = annotations?.[WHOLE_NAME];
    return whole !== undefined && isName(name, whole);
  });
  const digests = new Set(found.map(({ descriptor }) => descriptor.digest));
  const [digest] = digests;
  // Other programs write only the tag.
  if (digest === undefined) return sourceIn({ path, tag: name }, openIt);
  if (digests.size > 1) throw ambiguous(path, `of the name ${name}: ${[...digests].join(", ")}`);
  return sourceIn({ path, digest }, openIt);
}

interface Combined {
  manifest: Uint8Array;
  digest: string;
  parts: ReadonlyMap<string, FilePart>;
}

function combinedSource(image: DockerImage, archive: Archive): ImageSource {
  const { path } = image;
  let combined: Promise<Combined> | undefined;
  return {
    async resolve() {
      const { manifest, digest } = await (combined = combine(image, archive));
      return { mediaType: MEDIA_TYPE_MANIFEST, digest, size: manifest.byteLength };
    },
    async *read({ digest }) {
      const { parts, manifest, digest: root } = await (combined ??= combine(image, archive));
      const part = parts.get(digest);
      if (digest === root) yield* single(manifest);
      else if (part !== undefined) yield* readPart(archive, part);
      else {
        const message = `${path} does not hold the blob ${digest}`;
        throw new OcicryptError("BLOB_NOT_FOUND", message);
      }
    },
  };
}

/** Makes a manifest; the content of the layers is verified where they are read. */
async function combine({ path, name }: DockerImage, archive: Archive): Promise<Combined> {
  const read = readIn(archive);
  const index = await read("manifest.json", MAX_MANIFEST_SIZE);
  if (index === undefined) {
    throw new OcicryptError("IMAGE_NOT_FOUND", `${path} is not an archive of docker save`);
  }
  const { config, layers } = chooseImage(index, path, name);
  const bytes = await read(config, MAX_MANIFEST_SIZE);
  const configPart = archive.files.get(config);
  if (bytes === undefined || configPart === undefined) throw missing(path, config);
  const diffIds = diffIdsOf(bytes, path);
  if (diffIds.length !== layers.length) {
    const counts = `${String(diffIds.length)} diffIDs for ${String(layers.length)} layers`;
    throw invalid(`the config of ${path} has ${counts}`);
  }
  const parts = new Map<string, FilePart>();
  const configDigest = digestOf(bytes);
  parts.set(configDigest, configPart);
  const descriptors: Descriptor[] = [];
  for (const [i, layer] of layers.entries()) {
    const part = archive.files.get(layer);
    if (part === undefined) throw missing(path, layer);
    const isGzip = await startsWithGzip(archive, part);
    const digest = isGzip ? await digestOfPart(archive, part) : (diffIds[i] ?? "");
    parts.set(digest, part);
    descriptors.push({ mediaType: isGzip ? `${LAYER}+gzip` : LAYER, digest, size: part.size });
  }
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE_MANIFEST,
    config: { mediaType: CONFIG, digest: configDigest, size: bytes.byteLength },
    layers: descriptors,
  };
  const manifest = Buffer.from(JSON.stringify(document));
  const digest = digestOf(manifest);
  return { manifest, digest, parts };
}

interface SavedImage {
  names: readonly string[];
  config: string;
  layers: readonly string[];
}

/** `manifestItem` of github.com/moby/moby/v2/daemon/internal/image/tarexport. */
const SAVED_IMAGE = /* @__PURE__ */ struct({ Config: ANY, RepoTags: ANY, Layers: ANY });
const CONFIG_SHAPE = /* @__PURE__ */ struct({ rootfs: struct({ type: ANY, diff_ids: ANY }) });

function chooseImage(bytes: Uint8Array, path: string, name: string | undefined): SavedImage {
  const refuse = (why: string): OcicryptError => invalid(`manifest.json of ${path}: ${why}`);
  const value = parseJson(bytes, { shape: SAVED_IMAGE, maxSize: MAX_MANIFEST_SIZE, refuse });
  if (!Array.isArray(value)) throw refuse("it is not a list of images");
  const images = (value as unknown[]).map((item) => savedImage(asObject(item), refuse));
  const found = images.filter(
    ({ names }) => name === undefined || names.some((each) => isName(name, each)),
  );
  const [first, ...others] = found;
  if (first !== undefined && others.length === 0) return first;
  const known = images.flatMap(({ names }) => names).slice(0, 20);
  const list = known.length === 0 ? "no name" : `the names ${known.join(", ")}`;
  if (first !== undefined) throw ambiguous(path, `; choose one with docker-archive:FILE:NAME; it has ${list}`); // prettier-ignore
  const message = `${path} has no image of the name ${name ?? ""}; it has ${list}`;
  throw new OcicryptError("IMAGE_NOT_FOUND", message);
}

function savedImage(
  item: JsonObject | undefined,
  refuse: (why: string) => OcicryptError,
): SavedImage {
  const { Config: config, RepoTags, Layers: layers } = item ?? {};
  if (typeof config !== "string" || !isTexts(layers) || layers.length > MAX_LAYERS) {
    throw refuse("an image has no config or no list of layers");
  }
  return { names: isTexts(RepoTags) ? RepoTags : [], config, layers };
}

function diffIdsOf(config: Uint8Array, path: string): string[] {
  const refuse = (why: string): OcicryptError => invalid(`the config of ${path}: ${why}`);
  const value = asObject(
    parseJson(config, { shape: CONFIG_SHAPE, maxSize: MAX_MANIFEST_SIZE, refuse }),
  );
  const ids = asObject(value?.rootfs)?.diff_ids;
  if (isTexts(ids) && ids.every((id) => /^sha256:[0-9a-f]{64}$/.test(id))) return ids;
  throw refuse("it has no diffIDs");
}

/** Whether two names of images mean the same, as Docker completes them. */
function isName(one: string, other: string): boolean {
  return wholeName(one) === wholeName(other);
}

function wholeName(name: string): string {
  // An expression that looks for the last colon takes hours for a name of colons.
  const isTagged = name.lastIndexOf(":") > name.lastIndexOf("/");
  const tagged = isTagged ? name : `${name}:latest`;
  const plain = tagged.replace(/^(?:docker\.io|localhost)\//, "");
  return plain.replace(/^library\//, "");
}

async function startsWithGzip(archive: Archive, { offset, size }: FilePart): Promise<boolean> {
  const bytes: number[] = [];
  for await (const chunk of readPart(archive, { offset, size: Math.min(size, 2) })) bytes.push(...chunk); // prettier-ignore
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

async function digestOfPart(archive: Archive, part: FilePart): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of readPart(archive, part)) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}

function missing(path: string, name: string): OcicryptError {
  return invalid(`${path} does not hold ${JSON.stringify(name.slice(0, 200))}, which it names`);
}

function ambiguous(path: string, which: string): OcicryptError {
  return new OcicryptError("IMAGE_NOT_FOUND", `${path} holds several images ${which}`);
}
