import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { isOcicryptError, OcicryptError } from "../errors.js";
import { verified } from "../io/content.js";
import { readRange, spool } from "../io/files.js";
import { parts, type Bytes } from "../io/source.js";
import type { Descriptor } from "../spec/descriptor.js";
import { findDescriptors, openBlob, type LayerIdentity } from "./content-store.js";
import { providerKeys, readKeys } from "./decoder-keys.js";
import { openLayer, type OpenLayer } from "./open-layer.js";
import { wipeParameters, type Payload } from "./payload.js";

export interface DecodeOptions {
  /** Directories of private keys, or single key files. */
  keyPaths: readonly string[];
  /** The root of containerd's content store. */
  contentStore?: string | undefined;
  /**
   * `first` verifies the whole layer before the first byte is emitted. `stream` holds back the last
   * 64 KiB only, and needs no second reading.
   */
  verify: "first" | "stream";
  /** The encrypted media type of the layer, as containerd states it. */
  mediaType?: string | undefined;
  payload?: Payload | undefined;
  /** The encrypted layer. */
  input: AsyncIterable<Uint8Array>;
  signal: AbortSignal;
  /** Called with the reason for each key that cannot be used. */
  onSkip: (error: OcicryptError) => void;
}

type Plaintext = AsyncGenerator<Bytes, void, undefined>;
/** Unwraps the key of a layer with the available keys. */
type Opener = (descriptor: Descriptor) => Promise<OpenLayer>;

/**
 * Yields the plain layer.
 *
 * @throws {@link OcicryptError} `PAYLOAD_MISSING`; `BLOB_NOT_FOUND` if the content store does not
 *   hold the layer; `SOURCE_UNREADABLE`; `DESTINATION_FULL` and `DESTINATION_UNWRITABLE` for the copy
 *   of the layer that is verified; the errors of `decryptLayer`
 */
export async function* decode(options: DecodeOptions): Plaintext {
  const { payload, contentStore, verify, signal } = options;
  if (payload === undefined) {
    yield* decodeFromStore(options);
    return;
  }
  const { descriptor } = payload;
  const layer = await (await readOpener(options))(descriptor);
  wipeParameters(payload.parameters);
  const input = verified(options.input, { size: descriptor.size }, signal);
  if (verify === "stream") {
    yield* layer.decrypt(input, signal);
    return;
  }
  const blob = contentStore === undefined ? undefined : await openBlob(contentStore, descriptor);
  // containerd tolerates a standard input that is not read.
  const file = blob ?? (await spool(input, "the layer"));
  await layer.verify(content(file, descriptor), signal);
  yield* layer.decrypt(content(file, descriptor), signal);
}

/** Reads the keys once, although several descriptors may be tried. */
async function readOpener({ keyPaths, payload, signal, onSkip }: DecodeOptions): Promise<Opener> {
  const parameters = payload?.parameters;
  const files = await readKeys({ paths: keyPaths, parameters, signal });
  files.skipped.forEach(onSkip);
  return async (descriptor) => {
    const providers = await providerKeys(descriptor, parameters, files.keys);
    providers.skipped.forEach(onSkip);
    const keys = [...files.keys, ...providers.keys];
    const failure = files.skipped[0] ?? providers.skipped[0];
    if (keys.length === 0 && failure !== undefined) throw failure;
    return openLayer(descriptor, keys, signal);
  };
}

function content(file: FileHandle, { size }: { size: number }): AsyncIterable<Uint8Array> {
  return readRange(file, 0, size);
}

/**
 * Most clients send no payload. The annotations of the layer then come from a manifest in the content
 * store that names the digest of the layer.
 */
async function* decodeFromStore(options: DecodeOptions): Plaintext {
  const { contentStore, mediaType, input, signal } = options;
  if (contentStore === undefined) {
    const message = "the client passed no payload, and --content-store is not set";
    throw new OcicryptError("PAYLOAD_MISSING", message);
  }
  const identity = { ...(await identify(input, signal)), mediaType };
  const blob = await openBlob(contentStore, identity);
  if (blob === undefined) {
    const message = `the content store ${contentStore} does not hold the layer ${identity.digest}`;
    throw new OcicryptError("BLOB_NOT_FOUND", message);
  }
  const layer = await openOneOf(findDescriptors(contentStore, identity, signal), blob, options);
  if (layer === undefined) {
    const message = `the client passed no payload, and no manifest in ${contentStore} names the layer ${identity.digest}`;
    throw new OcicryptError("PAYLOAD_MISSING", message);
  }
  yield* layer.decrypt(content(blob, identity), signal);
}

async function identify(
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<LayerIdentity> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const part of parts(input, signal)) {
    hash.update(part);
    size += part.byteLength;
  }
  return { digest: `sha256:${hash.digest("hex")}`, size };
}

/**
 * Opens the layer with the first descriptor whose key is wrapped for this node and whose HMAC is
 * right. Anyone who knows a ciphertext can write such a descriptor with a key of their own, which
 * decrypts it to noise. A plaintext that starts like a layer is therefore preferred.
 *
 * @returns `undefined` if there is no descriptor
 */
async function openOneOf(
  descriptors: AsyncIterable<Descriptor>,
  blob: FileHandle,
  options: DecodeOptions,
): Promise<OpenLayer | undefined> {
  const { verify, signal } = options;
  const open = await readOpener(options);
  const start = Buffer.alloc(TAR_BLOCK);
  const { bytesRead } = await blob.read(start, 0, TAR_BLOCK, 0);
  let doubtful: OpenLayer | undefined;
  let failure: OcicryptError | undefined;
  for await (const descriptor of descriptors) {
    try {
      const layer = await open(descriptor);
      if (verify === "first") await layer.verify(content(blob, descriptor), signal);
      if (looksLikeLayer(await layer.peek(start.subarray(0, bytesRead)))) return layer;
      doubtful ??= layer;
    } catch (error) {
      if (!isOcicryptError(error)) throw error;
      if (failure === undefined || error.code === "HMAC_MISMATCH") failure = error;
    }
  }
  if (doubtful === undefined && failure !== undefined) throw failure;
  return doubtful;
}

const TAR_BLOCK = 512;

/** Whether bytes start like gzip (RFC 1952), zstd (RFC 8878) or tar (POSIX.1-2017 pax). */
function looksLikeLayer(start: Uint8Array): boolean {
  const bytes = Buffer.from(start);
  const magic = bytes.subarray(0, 4).toString("hex");
  return (
    magic.startsWith("1f8b08") ||
    magic === "28b52ffd" ||
    bytes.subarray(257, 262).toString("latin1") === "ustar" ||
    bytes.every((byte) => byte === 0)
  );
}
