import { OcicryptError } from "../errors.js";
import type { Descriptor } from "./descriptor.js";
import { parseDigest } from "./digest.js";
import {
  MEDIA_TYPE_DOCKER_LIST,
  MEDIA_TYPE_DOCKER_MANIFEST,
  MEDIA_TYPE_INDEX,
  MEDIA_TYPE_MANIFEST,
} from "./media-types.js";
import { locate, member, type JsonNode } from "../text/json-edits.js";

/** An image manifest, of OCI's format or Docker's, as it is stored, with what this library looks at. */
export interface Manifest {
  kind: "manifest";
  text: string;
  config: Descriptor;
  layers: LocatedDescriptor[];
  /** The manifest that this one is about, as a signature is. */
  subject?: Descriptor;
}

/** An image index, or manifest list of Docker's format, as it is stored, with what this library looks at. */
export interface Index {
  kind: "index";
  text: string;
  manifests: LocatedDescriptor[];
}

/** A descriptor and its place in the text of its document. */
export interface LocatedDescriptor {
  descriptor: Descriptor;
  node: JsonNode;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a descriptor's media type is that of a document that {@link parseDocument} reads. */
export function isDocumentType(mediaType: string): boolean {
  return [
    MEDIA_TYPE_MANIFEST,
    MEDIA_TYPE_INDEX,
    MEDIA_TYPE_DOCKER_MANIFEST,
    MEDIA_TYPE_DOCKER_LIST,
  ].includes(mediaType);
}

/**
 * Whether a media type says of itself that it is one of a manifest or index, be it known here or
 * not: registries keep these apart from blobs.
 */
export function isManifestType(mediaType: string): boolean {
  return /^[\w./+-]*\.(?:manifest|index)(?:\.list)?\.v\d+(?:\+[a-z]+)?$/.test(mediaType);
}

/**
 * Parses a manifest or an index. A document that can be taken for both is refused
 * (https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh).
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`, `DESCRIPTOR_INVALID`
 */
export function parseDocument(bytes: Uint8Array, mediaType: string): Manifest | Index {
  const { text, value } = parseJson(bytes, "the manifest");
  if (value.mediaType !== undefined && value.mediaType !== mediaType) {
    throw invalid(`it says it is ${show(value.mediaType)}, its descriptor says ${show(mediaType)}`);
  }
  if (value.layers !== undefined && value.manifests !== undefined) {
    throw invalid("it has both layers and manifests");
  }
  requireExactNames(value, "it");
  const root = locate(text);
  requireDigits(text, root);
  if (mediaType === MEDIA_TYPE_INDEX || mediaType === MEDIA_TYPE_DOCKER_LIST) {
    return { kind: "index", text, manifests: descriptors(value, root, "manifests") };
  }
  const config = readDescriptor(value.config, "config");
  const layers = descriptors(value, root, "layers");
  if (value.subject === undefined || value.subject === null) {
    return { kind: "manifest", text, config, layers };
  }
  const subject = readDescriptor(value.subject, "subject");
  return { kind: "manifest", text, config, layers, subject };
}

/** What a manifest of any type says that it is about, and what it is. */
export interface Subject {
  /** Digest of the other manifest. */
  subject?: string | undefined;
  artifactType?: string | undefined;
}

/** @throws {@link OcicryptError} `MANIFEST_INVALID` for what is not a JSON object */
export function readSubject(bytes: Uint8Array): Subject {
  const { subject, artifactType, config } = parseJson(bytes, "the manifest").value;
  return {
    subject: textIn(subject, "digest"),
    artifactType: typeof artifactType === "string" ? artifactType : textIn(config, "mediaType"),
  };
}

function textIn(value: unknown, name: string): string | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  const text = (value as JsonObject)[name];
  return typeof text === "string" ? text : undefined;
}

/**
 * Parses JSON text that must come back byte for byte.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`
 */
export function parseJson(bytes: Uint8Array, what: string): { text: string; value: JsonObject } {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { text, value: requireObject(JSON.parse(text), what) };
  } catch (cause) {
    if (cause instanceof OcicryptError) throw cause;
    throw new OcicryptError("MANIFEST_INVALID", `${what} is not JSON`, { cause });
  }
}

/** The descriptors in an array of a document, each with its place. */
export function descriptors(value: JsonObject, root: JsonNode, name: string): LocatedDescriptor[] {
  const array = value[name];
  if (!Array.isArray(array)) throw invalid(`its member "${name}" is not an array`);
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
  const object = requireObject(value, where);
  requireExactNames(object, where);
  const { mediaType, digest, size, annotations } = object;
  if (typeof mediaType !== "string" || mediaType === "") {
    throw invalid(`${where} has no media type`);
  }
  if (typeof digest !== "string") throw invalid(`${where} has no digest`);
  parseDigest(digest);
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw invalid(`${where} has no size`);
  if (object.platform !== undefined) requirePlatform(object.platform, where);
  if (annotations !== undefined) {
    const texts = Object.values(requireObject(annotations, `the annotations of ${where}`));
    if (!texts.every((text) => typeof text === "string")) {
      throw invalid(`an annotation of ${where} is not a string`);
    }
  }
  return object as unknown as Descriptor;
}

const EXACT_NAMES: ReadonlySet<string> = new Set([
  ...["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject"],
  ...["digest", "size", "annotations", "platform", "urls", "data"],
]);
const NAMES: ReadonlySet<string> = new Set([...EXACT_NAMES].map((name) => name.toLowerCase()));

/** Go matches names in any case and would take another member than is read here. */
function requireExactNames(object: JsonObject, where: string): void {
  for (const name of Object.keys(object)) {
    if (NAMES.has(name.toLowerCase()) && !EXACT_NAMES.has(name)) {
      throw invalid(`${where} has a member ${show(name)}, which readers take for different ones`);
    }
  }
}

/** Go refuses a size such as 1e3 or 1000.0, so that only some readers would take the document. */
function requireDigits(text: string, root: JsonNode): void {
  const lists = ["layers", "manifests"].flatMap((name) => member(root, name)?.items ?? []);
  for (const descriptor of [member(root, "config"), ...lists]) {
    const size = member(descriptor, "size");
    if (size !== undefined && !/^\d+$/.test(text.slice(size.start, size.end))) {
      throw invalid("a size is not written as a whole number");
    }
  }
}

function requirePlatform(value: unknown, where: string): void {
  const { os, architecture, variant = "" } = requireObject(value, `the platform of ${where}`);
  if ([os, architecture, variant].every((text) => typeof text === "string")) return;
  throw invalid(`the platform of ${where} is malformed`);
}

function requireObject(value: unknown, what: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as JsonObject;
  }
  throw invalid(`${what} is not an object`);
}

function show(value: unknown): string {
  return JSON.stringify(value).slice(0, 100);
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("MANIFEST_INVALID", `the manifest can not be used: ${why}`);
}
