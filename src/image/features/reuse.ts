import { parsePublicOptions, wipePrivateOptions } from "../../cipher/options.js";
import { OcicryptError } from "../../errors.js";
import type { Key, Recipient } from "../../keywrap/types.js";
import {
  type Candidate,
  describeEncrypted,
  findSame,
  type Match,
  reencrypt,
} from "../../layer/encrypt.js";
import { unwrapPrivateOptions } from "../../layer/unwrap.js";
import { wrapForAll } from "../../layer/wrap.js";
import { isEncryptedDescriptor, type Descriptor } from "../../spec/descriptor.js";
import { encryptedMediaType, ociMediaType, plainMediaType } from "../../spec/media-types.js";
import type { ImageDestination, ImageSource } from "../../store/types.js";
import type { ProgressMeter } from "../engine/copy-blobs.js";
import { layerIdentity } from "../engine/run-steps.js";
import { readImage } from "../manifests/tree.js";

/** An earlier encrypted image, whose blobs are used for the layers that have not changed since. */
export interface Reuse {
  image: ImageSource;
  /** The keys that open the layers of that image. */
  keys: readonly Key[];
}

/**
 * The layers of an earlier encrypted image.
 *
 * The earlier image is not trusted: anyone can wrap a key for a recipient, so its annotations prove
 * nothing. A blob is reused only if the plaintext, encrypted with the key and nonce from the
 * earlier image, has exactly the blob's digest. `reencrypt` explains why no other
 * ciphertext may be emitted.
 */
export interface EarlierLayers {
  /** Warnings about layers that could not be tried. */
  readonly warnings: readonly string[];
  /**
   * Encrypts a layer as in the earlier image.
   *
   * @returns the descriptor, with keys wrapped for exactly these recipients; `undefined` if no
   *   earlier layer is the same
   */
  encrypt(layer: Descriptor, encryption: Encryption): Promise<Descriptor | undefined>;
  /** Overwrites the secrets. */
  wipe(): Promise<void>;
}

interface Encryption {
  source: ImageSource;
  destination: ImageDestination;
  recipients: readonly Recipient[];
  meter: ProgressMeter;
  /** The layer's content, to compare it. */
  content: AsyncIterable<Uint8Array>;
  /** The binding of the layer in the new image. */
  binding?: Uint8Array | undefined;
  signal: AbortSignal;
}

interface EarlierLayer {
  descriptor: Descriptor;
  candidate?: Promise<Candidate | undefined>;
}

/**
 * The most earlier layers that are opened for one layer, which may need a remote key. Layers of the
 * same size are rare.
 */
const MAX_OPENED = 16;
/** The most candidates that are computed at once, while the layer is read. */
const MAX_COMPUTED = 4;

/**
 * Reads the manifests of an earlier image; its blobs are not needed.
 *
 * @throws {@link OcicryptError} `NO_KEYS`, and those of `readImage`
 */
export async function readEarlier(
  { image, keys }: Reuse,
  signal: AbortSignal | undefined,
): Promise<EarlierLayers> {
  if (keys.length === 0)
    throw new OcicryptError("NO_KEYS", "no key was given for the earlier image");
  const tree = await readImage(image, { signal });
  const layers = new Map<string, EarlierLayer>();
  for (const { document } of tree.manifests) {
    for (const { descriptor } of document.layers) {
      if (!isEncryptedDescriptor(descriptor)) continue;
      layers.set(layerIdentity(descriptor, descriptor.annotations), { descriptor });
    }
  }
  const warnings: string[] = [];
  if (layers.size === 0) warnings.push("no layer of the earlier image is encrypted");

  async function open(
    { descriptor }: EarlierLayer,
    stepSignal: AbortSignal,
  ): Promise<Candidate | undefined> {
    try {
      const { hmac } = parsePublicOptions(descriptor);
      const options = { keys, signal: stepSignal };
      const { privateOptions } = await unwrapPrivateOptions(descriptor, options);
      return { secret: privateOptions, digest: descriptor.digest, hmac };
    } catch (error) {
      stepSignal.throwIfAborted();
      if (!(error instanceof OcicryptError)) throw error;
      warnings.push(`the earlier layer ${descriptor.digest} was not reused: ${error.message}`);
      return undefined;
    }
  }

  async function candidates(layer: Descriptor, stepSignal: AbortSignal): Promise<Candidate[]> {
    const wanted = ociMediaType(layer.mediaType);
    const alike = [...layers.values()].filter(
      ({ descriptor: { size, mediaType } }) =>
        size === layer.size && ociMediaType(plainMediaType(mediaType)) === wanted,
    );
    const opened: Candidate[] = [];
    for (const earlier of alike.slice(0, MAX_OPENED)) {
      const candidate = await (earlier.candidate ??= open(earlier, stepSignal));
      if (candidate !== undefined) opened.push(candidate);
    }
    // The recorded digest only decides which candidates are tried first.
    const isRecorded = ({ secret }: Candidate): boolean => secret.digest === layer.digest;
    const others = opened.filter((candidate) => !isRecorded(candidate));
    return [...opened.filter(isRecorded), ...others].slice(0, MAX_COMPUTED);
  }

  return {
    warnings,
    async encrypt(layer, encryption) {
      const { content, signal: stepSignal } = encryption;
      const found = await candidates(layer, stepSignal);
      if (found.length === 0) return undefined;
      const match = await findSame(content, layer, found, stepSignal);
      return match && (await writeAgain(layer, match, encryption));
    },
    async wipe() {
      for (const { candidate } of layers.values()) {
        const opened = await candidate?.catch(() => undefined);
        if (opened !== undefined) wipePrivateOptions(opened.secret);
      }
    },
  };
}

/**
 * Wraps the earlier key for the recipients, and writes the earlier blob if the destination does not
 * hold it.
 */
async function writeAgain(
  layer: Descriptor,
  match: Match,
  { source, destination, recipients, meter, binding, signal }: Encryption,
): Promise<Descriptor> {
  const { secret, digest, hmac } = match.candidate;
  const wrapped = await wrapForAll(
    { ...secret, digest: layer.digest, binding },
    recipients,
    signal,
  );
  const { size } = layer;
  const mediaType = encryptedMediaType(layer.mediaType);
  const after = describeEncrypted(layer, { mediaType, digest, size, wrapped, hmac });
  if (await destination.contains(after)) return after;
  const content = meter.count(source.read(layer, { signal }), layer, "encrypt");
  await destination.write(reencrypt(content, match, signal), () => after, { signal });
  return after;
}
