import { parsePublicOptions } from "../../cipher/public-options.js";
import { wipePrivateOptions } from "../../cipher/private-options.js";
import { OcicryptError } from "../../errors.js";
import type { Key, Recipient } from "../../keywrap/types.js";
import { describeEncrypted } from "../../layer/encrypt.js";
import { findSame, reencrypt, type Candidate, type Match } from "../../layer/reencrypt.js";
import { unwrapPrivateOptions } from "../../layer/unwrap.js";
import { wrapForAll } from "../../layer/wrap.js";
import { isEncryptedDescriptor, type Descriptor } from "../../spec/descriptor.js";
import { encryptedMediaType, ociMediaType, plainMediaType } from "../../spec/media-types.js";
import type { ImageDestination, ImageSource } from "../../store/types.js";
import type { ProgressMeter } from "../engine/progress.js";
import { layerIdentity } from "../engine/run-steps.js";
import { imageManifests, readImage } from "../manifests/tree.js";

/** An earlier encrypted image, whose blobs stand for the layers that have not changed since. */
export interface Reuse {
  image: ImageSource;
  /** That open the layers of that image. */
  keys: readonly Key[];
}

/**
 * The layers of an earlier encrypted image.
 *
 * That image is not trusted. Anyone can wrap a key for a recipient, so its annotations prove
 * nothing. A blob is reused only if the plaintext, encrypted with the key and nonce from the earlier
 * image, has exactly the blob's digest. `layer/reencrypt.ts` explains why no other ciphertext may
 * be emitted.
 */
export interface EarlierLayers {
  /** Failures with layers that might have been reused. */
  readonly warnings: readonly string[];
  /**
   * Encrypts a layer as it was encrypted before.
   *
   * @returns the descriptor, with keys wrapped for exactly these recipients; `undefined` when none
   *   of the earlier layers is the same
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
  /** Of the layer in the new image. */
  binding?: Uint8Array | undefined;
  signal: AbortSignal;
}

interface EarlierLayer {
  descriptor: Descriptor;
  candidate?: Promise<Candidate | undefined>;
}

/** Layers of one size are rare. So many are opened for one layer, which can mean a remote key … */
const MAX_OPENED = 16;
/** … and so many are computed at once, in one reading of the layer. */
const MAX_COMPUTED = 4;

/**
 * Reads the manifests of an earlier image; its blobs are not needed.
 *
 * @throws {@link OcicryptError} `NO_KEYS`, and those of `readTree`
 */
export async function readEarlier(
  { image, keys }: Reuse,
  signal: AbortSignal | undefined,
): Promise<EarlierLayers> {
  if (keys.length === 0) throw new OcicryptError("NO_KEYS", "no key for the earlier image");
  const root = await readImage(image, { signal });
  const layers = new Map<string, EarlierLayer>();
  for (const { document } of imageManifests(root)) {
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
    // The digest that the sender has recorded says where to look first, and nothing more.
    const isRecorded = ({ secret }: Candidate): boolean => secret.digest === layer.digest;
    const others = opened.filter((candidate) => !isRecorded(candidate));
    return [...opened.filter(isRecorded), ...others].slice(0, MAX_COMPUTED);
  }

  return {
    warnings,
    async encrypt(layer, encryption) {
      const { source, meter, signal: stepSignal } = encryption;
      const found = await candidates(layer, stepSignal);
      if (found.length === 0) return undefined;
      const blob = source.read(layer, { signal: stepSignal });
      const content = meter.count(blob, layer, "compare");
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

/** Wraps the earlier key for the recipients, and writes the earlier blob where it is not there. */
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
