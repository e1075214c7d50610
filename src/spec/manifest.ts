import { OcicryptError, shown } from "../errors.js";
import {
  ANY,
  MAP,
  parseJson,
  parseWithPlaces,
  requireObject,
  stringIn,
  struct,
  type JsonNode,
  type JsonObject,
  type Shape,
} from "../text/json.js";
import { member } from "../text/json-edits.js";
import type { Descriptor } from "./descriptor.js";
import { parseDigest } from "./digest.js";
import {
  DOCUMENT_TYPES,
  isAmbiguousMediaType,
  MEDIA_TYPE_DOCKER_LIST,
  MEDIA_TYPE_INDEX,
  MEDIA_TYPE_MANIFEST,
} from "./media-types.js";
import { MAX_DESCRIPTORS, MAX_MANIFEST_SIZE } from "./limits.js";

/**
 * An image manifest of OCI's or Docker's format: its text, and the members that this library reads.
 */
export interface Manifest {
  kind: "manifest";
  text: string;
  config: Descriptor;
  layers: LocatedDescriptor[];
  /** The manifest that this manifest refers to, as a signature does. */
  subject?: Descriptor;
}

/**
 * An image index, or a manifest list of Docker's format: its text, and the members that this
 * library reads.
 */
export interface Index {
  kind: "index";
  text: string;
  manifests: LocatedDescriptor[];
}

/** A descriptor and its position in the text of its document. */
export interface LocatedDescriptor {
  descriptor: Descriptor;
  node: JsonNode;
}

const PLATFORM = /* @__PURE__ */ struct({
  architecture: ANY,
  os: ANY,
  "os.version": ANY,
  "os.features": ANY,
  variant: ANY,
});

/** The members of a descriptor that Go reads. */
export const DESCRIPTOR: Shape = /* @__PURE__ */ struct({
  mediaType: ANY,
  digest: ANY,
  size: ANY,
  urls: ANY,
  annotations: MAP,
  data: ANY,
  platform: PLATFORM,
  artifactType: ANY,
});

/**
 * The members of manifests and indexes, because other readers may read a document as either.
 * https://github.com/opencontainers/image-spec/tree/main/specs-go/v1
 */
const DOCUMENT = /* @__PURE__ */ struct({
  schemaVersion: ANY,
  mediaType: ANY,
  artifactType: ANY,
  config: DESCRIPTOR,
  layers: DESCRIPTOR,
  manifests: DESCRIPTOR,
  subject: DESCRIPTOR,
  annotations: MAP,
});

/** Whether {@link parseDocument} reads documents of this media type. */
export function isDocumentType(mediaType: string): boolean {
  return DOCUMENT_TYPES.includes(mediaType);
}

/**
 * Whether a media type, known or unknown, looks like that of a manifest or index, which registries
 * store separately from blobs.
 */
export function isManifestType(mediaType: string): boolean {
  return /^[\w./+-]*\.(?:manifest|index)(?:\.list)?\.v\d+(?:\+[a-z]+)?$/.test(mediaType);
}

/**
 * Parses a manifest or an index. A document that could be read as both is rejected
 * (https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh).
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`, `DESCRIPTOR_INVALID`
 */
export function parseDocument(bytes: Uint8Array, mediaType: string): Manifest | Index {
  const { text, value: parsed, root } = parseWithPlaces(bytes, READING);
  const value = requireObject(parsed, notAnObject("it"));
  if (value.mediaType !== undefined && value.mediaType !== mediaType) {
    throw invalid(
      `its mediaType is ${show(value.mediaType)}, but its descriptor says ${show(mediaType)}`,
    );
  }
  // By name, because containerd reads a document as both even if one member is null.
  if (member(root, "layers") !== undefined && member(root, "manifests") !== undefined) {
    throw invalid("it has both layers and manifests");
  }
  requireDigits(text, root);
  if (mediaType === MEDIA_TYPE_INDEX || mediaType === MEDIA_TYPE_DOCKER_LIST) {
    return { kind: "index", text, manifests: descriptors(value, root, "manifests") };
  }
  const config = readDescriptor(value.config, "config");
  const layers = descriptors(value, root, "layers");
  if (value.subject === undefined) return { kind: "manifest", text, config, layers };
  const subject = readDescriptor(value.subject, "subject");
  return { kind: "manifest", text, config, layers, subject };
}

/** The subject and the artifact type of a manifest of any type. */
export interface Subject {
  /** The digest of the manifest that it refers to. */
  subject?: string | undefined;
  artifactType?: string | undefined;
}

/**
 * Reads the subject and the artifact type of a manifest.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID` for anything other than a JSON object
 */
export function readSubject(bytes: Uint8Array): Subject {
  const { subject, artifactType, config } = readManifestObject(bytes);
  return {
    subject: stringIn(subject, "digest"),
    artifactType: typeof artifactType === "string" ? artifactType : stringIn(config, "mediaType"),
  };
}

/**
 * Reads the members of a manifest or index whose type is not yet known.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`
 */
export function readManifestObject(bytes: Uint8Array): JsonObject {
  return requireObject(parseJson(bytes, READING), notAnObject("it"));
}

/** The media type of a manifest or index by its own words, or by its members. */
export function mediaTypeOf(bytes: Uint8Array): string {
  const { mediaType, manifests } = readManifestObject(bytes);
  if (typeof mediaType === "string") return mediaType;
  return Array.isArray(manifests) ? MEDIA_TYPE_INDEX : MEDIA_TYPE_MANIFEST;
}

/** Reads the descriptors in an array of a document, each with its position. */
export function descriptors(value: JsonObject, root: JsonNode, name: string): LocatedDescriptor[] {
  const array = value[name];
  if (!Array.isArray(array)) throw invalid(`its member "${name}" is not an array`);
  if (array.length > MAX_DESCRIPTORS) {
    throw invalid(`it has more than ${String(MAX_DESCRIPTORS)} ${name}`);
  }
  const nodes = member(root, name)?.items ?? [];
  return (array as unknown[]).flatMap((item, i) => {
    const node = nodes[i];
    const descriptor = readDescriptor(item, `${name}[${String(i)}]`);
    return node === undefined ? [] : [{ descriptor, node }];
  });
}

/**
 * Reads a descriptor of a document.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`, `DESCRIPTOR_INVALID`
 */
export function readDescriptor(value: unknown, where: string): Descriptor {
  const object = { ...requireObject(value, notAnObject(where)) };
  const { mediaType, digest, size, annotations } = object;
  if (typeof mediaType !== "string" || mediaType === "") {
    throw invalid(`${where} has no media type`);
  }
  if (isAmbiguousMediaType(mediaType)) {
    throw invalid(
      `only some readers treat the media type ${show(mediaType)} of ${where} as encrypted`,
    );
  }
  if (typeof digest !== "string") throw invalid(`${where} has no digest`);
  parseDigest(digest);
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw invalid(`${where} has no size`);
  if (object.platform !== undefined && !isPlatform(object.platform, where)) delete object.platform;
  if (annotations === undefined) return object as unknown as Descriptor;
  const named = requireObject(annotations, notAnObject(`the annotations of ${where}`));
  const texts = Object.entries(named).filter(([, text]) => text !== null);
  if (!texts.every(([, text]) => typeof text === "string")) {
    throw invalid(`an annotation of ${where} is not a string`);
  }
  return { ...object, annotations: Object.fromEntries(texts) } as unknown as Descriptor;
}

/** Go rejects a size such as 1e3 or 1000.0, so only some readers would accept the document. */
function requireDigits(text: string, root: JsonNode): void {
  const lists = ["layers", "manifests"].flatMap((name) => member(root, name)?.items ?? []);
  for (const descriptor of [member(root, "config"), member(root, "subject"), ...lists]) {
    const size = member(descriptor, "size");
    if (size !== undefined && !/^\d+$/.test(text.slice(size.start, size.end))) {
      throw invalid("a size is not written as a whole number");
    }
  }
}

/** Whether a platform says anything; if its members are null, they are absent. */
function isPlatform(value: unknown, where: string): boolean {
  const what = `the platform of ${where}`;
  const { os, architecture, variant = "" } = requireObject(value, notAnObject(what));
  if (os === undefined && architecture === undefined && variant === "") return false;
  if ([os, architecture, variant].every((text) => typeof text === "string")) return true;
  throw invalid(`${what} is malformed`);
}

function notAnObject(what: string): () => OcicryptError {
  return () => invalid(`${what} is not an object`);
}

function show(value: unknown): string {
  return typeof value === "string" ? shown(value) : "not a string";
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("MANIFEST_INVALID", `the manifest cannot be used: ${why}`);
}

const READING = { shape: DOCUMENT, maxSize: MAX_MANIFEST_SIZE, refuse: invalid };
