import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { pack } from "tar-stream";
import { afterAll } from "vitest";
import { collect } from "./bytes.js";
import { isWebEngine } from "./engine.js";

export const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const INDEX = "application/vnd.oci.image.index.v1+json";
export const CONFIG = "application/vnd.oci.image.config.v1+json";
export const EMPTY = "application/vnd.oci.empty.v1+json";
export const TAR = "application/vnd.oci.image.layer.v1.tar";
export const TAR_GZIP = `${TAR}+gzip`;
export const TAR_ZSTD = `${TAR}+zstd`;
export const DOCKER_TAR_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const IN_TOTO = "application/vnd.in-toto+json";

/** A descriptor, or something that claims to be one. */
export interface Entry {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
  [member: string]: unknown;
}

export interface Layer {
  descriptor: Entry;
  blob: Buffer;
  /** Of the uncompressed tar; of an unreadable compression, of some bytes. */
  diffId: string;
}

export interface StoredManifest {
  descriptor: Entry;
  text: string;
  layers: readonly Layer[];
}

/** How a document is written down. */
export type Style = (value: unknown) => string;

export function compact(value: unknown): string {
  return JSON.stringify(value);
}

function indented(by: number | string): Style {
  return (value) => JSON.stringify(value, undefined, by);
}

function crlf(value: unknown): string {
  return JSON.stringify(value, undefined, 2).replaceAll("\n", "\r\n");
}

function withTrailingNewline(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

function withSpaceAround(value: unknown): string {
  return `\r\n\t ${JSON.stringify(value)} \n\n`;
}

function withSpacedColons(value: unknown): string {
  return JSON.stringify(value).replaceAll('":', '" : ');
}

/** Ways in which tools and people write manifests. */
export const STYLES: readonly (readonly [string, Style])[] = [
  ["compact", compact],
  ["indented by 2", indented(2)],
  ["indented by 3", indented(3)],
  ["indented by tabs", indented("\t")],
  ["with CRLF", crlf],
  ["with a trailing newline", withTrailingNewline],
  ["with space around it", withSpaceAround],
  ["with spaces around colons", withSpacedColons],
];

/** Directories that go when the tests of a file have ended. */
export function temporaryDirectories(): () => string {
  const root = mkdtempSync(join(tmpdir(), "ocicrypt-test-"));
  afterAll(() => {
    rmSync(root, { recursive: true, force: true });
  });
  return () => mkdtempSync(join(root, "d"));
}

export function digestOf(bytes: Uint8Array | string, algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** A tar archive of files with these names and contents. */
export async function tar(files: Readonly<Record<string, string | Buffer>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) {
    archive.entry({ name, mtime: new Date(0) }, content);
  }
  archive.finalize();
  return collect(archive as AsyncIterable<Uint8Array>);
}

/** A tar layer, compressed as its media type says. */
export async function layer(
  name: string,
  { mediaType = TAR_GZIP, content = `${name}\n`, ...more }: Partial<Entry> & LayerContent = {},
): Promise<Layer> {
  return layerOf(await tar({ [name]: content }), { mediaType, ...more });
}

interface LayerContent {
  content?: string | Buffer;
}

/** A layer of these bytes before compression. */
export function layerOf(
  plain: Buffer,
  { mediaType = TAR_GZIP, ...more }: Partial<Entry> = {},
): Layer {
  const blob = compress(plain, mediaType);
  const descriptor = { mediaType, digest: digestOf(blob), size: blob.byteLength, ...more };
  return { descriptor, blob, diffId: digestOf(plain) };
}

/** The layer with other members in its descriptor. */
export function describedAs(from: Layer, members: Partial<Entry>): Layer {
  return { ...from, descriptor: { ...from.descriptor, ...members } };
}

export function compress(plain: Buffer, mediaType: string): Buffer {
  if (mediaType.endsWith("gzip")) return zlib.gzipSync(plain);
  if (!mediaType.endsWith("zstd")) return plain;
  // Not in the types of Node 20, and not in Node 20.
  const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer };
  return zstdCompressSync?.(plain) ?? storedZstd(plain);
}

/** Whether this engine can look into zstd. */
export const HAS_ZSTD: boolean = !isWebEngine && "createZstdDecompress" in zlib;

/** A zstd frame of blocks that are not compressed (RFC 8878 section 3.1.1). */
function storedZstd(plain: Buffer): Buffer {
  const frame: Uint8Array[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38])];
  const size = 128 * 1024;
  for (let start = 0; start === 0 || start < plain.byteLength; start += size) {
    const block = plain.subarray(start, start + size);
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.byteLength << 3) | Number(start + size >= plain.byteLength), 0, 3);
    frame.push(header, block);
  }
  return Buffer.concat(frame);
}

/** Makes an empty OCI layout. */
export async function createLayout(path: string): Promise<string> {
  await mkdir(join(path, "blobs", "sha256"), { recursive: true });
  await writeFile(join(path, "oci-layout"), '{"imageLayoutVersion": "1.0.0"}');
  await writeIndex(path, []);
  return path;
}

export function blobFile(path: string, digest: string): string {
  return join(path, "blobs", ...digest.split(":"));
}

/** Stores a blob, under its own digest or one that is not its own. */
export async function putBlob(
  path: string,
  bytes: Uint8Array | string,
  digest: string = digestOf(bytes),
): Promise<{ digest: string; size: number }> {
  const file = blobFile(path, digest);
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(file, bytes);
  return { digest, size: Buffer.byteLength(bytes) };
}

export interface ManifestOptions {
  style?: Style;
  /** More members of the manifest. */
  extra?: Readonly<Record<string, unknown>>;
  /** In place of an image config with the right diffIDs. */
  config?: { mediaType: string; content: string };
  /** The algorithm of the manifest's own digest. */
  algorithm?: string;
}

/** Stores a manifest with its layers and its config. */
export async function putManifest(
  path: string,
  layers: readonly Layer[],
  { style = compact, extra = {}, config, algorithm = "sha256" }: ManifestOptions = {},
): Promise<StoredManifest> {
  for (const { blob, descriptor } of layers) await putBlob(path, blob, descriptor.digest);
  const { mediaType, content } = config ?? imageConfig(layers.map(({ diffId }) => diffId));
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType, ...(await putBlob(path, content)) },
    layers: layers.map(({ descriptor }) => descriptor),
    ...extra,
  };
  const text = style(manifest);
  const stored = await putBlob(path, text, digestOf(text, algorithm));
  return { descriptor: { mediaType: MANIFEST, ...stored }, text, layers };
}

/** An image config with these diffIDs. */
export function imageConfig(diffIds: unknown): { mediaType: string; content: string } {
  const rootfs = { type: "layers", diff_ids: diffIds };
  return {
    mediaType: CONFIG,
    content: JSON.stringify({ architecture: "amd64", os: "linux", rootfs }),
  };
}

/** Stores a document as it is given. */
export async function putText(
  path: string,
  text: string | Uint8Array,
  mediaType: string = MANIFEST,
): Promise<Entry> {
  return { mediaType, ...(await putBlob(path, text)) };
}

/** Stores an index of these entries. */
export async function putIndex(
  path: string,
  manifests: readonly Entry[],
  style: Style = compact,
): Promise<Entry> {
  return putText(path, style({ schemaVersion: 2, mediaType: INDEX, manifests }), INDEX);
}

/** The entry of an index for a manifest of one platform. */
export function forPlatform(descriptor: Entry, name: string): Entry {
  const [os, architecture, variant] = name.split("/");
  return { ...descriptor, platform: { architecture, os, ...(variant && { variant }) } };
}

/** Stores BuildKit's attestation about a manifest, and returns its index entry. */
export async function putAttestation(path: string, about: Entry): Promise<Entry> {
  const statement = Buffer.from(`{"_type":"in-toto","about":"${about.digest}"}`);
  const provenance = layerOf(statement, { mediaType: IN_TOTO });
  const { descriptor } = await putManifest(path, [provenance]);
  const annotations = {
    "vnd.docker.reference.digest": about.digest,
    "vnd.docker.reference.type": "attestation-manifest",
  };
  const platform = { architecture: "unknown", os: "unknown" };
  return { ...descriptor, annotations, platform };
}

export interface MultiPlatform {
  index: Entry;
  amd64: StoredManifest;
  /** Of the variant v8. */
  arm64: StoredManifest;
}

/**
 * Makes a layout with an index as BuildKit writes it: two platforms, the first of whose two layers
 * is the same, and an attestation of each, one before and one behind the manifests.
 */
export async function multiPlatform(path: string, style?: Style): Promise<MultiPlatform> {
  await createLayout(path);
  const options = style && { style };
  const base = await layer("base");
  const amd64 = await putManifest(path, [base, await layer("amd64")], options);
  const arm64 = await putManifest(path, [base, await layer("arm64")], options);
  const entries = [
    await putAttestation(path, arm64.descriptor),
    forPlatform(amd64.descriptor, "linux/amd64"),
    forPlatform(arm64.descriptor, "linux/arm64/v8"),
    await putAttestation(path, amd64.descriptor),
  ];
  const index = await putIndex(path, entries, style);
  await writeIndex(path, [index]);
  return { index, amd64, arm64 };
}

/** Writes `index.json`. */
export async function writeIndex(path: string, manifests: readonly Entry[]): Promise<void> {
  await writeFile(join(path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}

/** The entry with a tag. */
export function tagged(descriptor: Entry, tag: string): Entry {
  const annotations = { ...descriptor.annotations, "org.opencontainers.image.ref.name": tag };
  return { ...descriptor, annotations };
}

/** A layout with one image, without a tag. */
export async function layoutOf(
  path: string,
  layers: readonly Layer[],
  options?: ManifestOptions,
): Promise<StoredManifest> {
  await createLayout(path);
  const manifest = await putManifest(path, layers, options);
  await writeIndex(path, [manifest.descriptor]);
  return manifest;
}

export interface ManifestContent {
  schemaVersion: number;
  mediaType?: string;
  config: Entry;
  layers: Entry[];
  [member: string]: unknown;
}

/** The entries of `index.json`. */
export async function readEntries(path: string): Promise<Entry[]> {
  const text = await readFile(join(path, "index.json"), "utf8");
  return (JSON.parse(text) as { manifests: Entry[] }).manifests;
}

export async function readBlob(path: string, { digest }: { digest: string }): Promise<Buffer> {
  return readFile(blobFile(path, digest));
}

export async function readManifest(
  path: string,
  descriptor: { digest: string },
): Promise<ManifestContent> {
  return JSON.parse((await readBlob(path, descriptor)).toString()) as ManifestContent;
}

export async function readIndexEntries(path: string, entry: { digest: string }): Promise<Entry[]> {
  const text = (await readBlob(path, entry)).toString();
  return (JSON.parse(text) as { manifests: Entry[] }).manifests;
}

/** Everything below a directory: names with the digests of the contents. */
export async function snapshot(path: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  let entries;
  try {
    entries = await readdir(path, { withFileTypes: true, recursive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { absent: "" };
    throw error;
  }
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    found[file.slice(path.length + 1)] = entry.isFile() ? digestOf(await readFile(file)) : "-";
  }
  return found;
}

/** The stages that a killed process left, without the lock that it may have held. */
export async function leftStages(path: string): Promise<string[]> {
  return (await stagesIn(path)).filter((name) => !name.endsWith(".lock"));
}

/** The hidden directories in which unfinished work lies. */
export async function stagesIn(path: string): Promise<string[]> {
  return (await readdir(path)).filter((name) => name.startsWith(".ocicrypt-"));
}
