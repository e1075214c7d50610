import { requireCompatible, type CompatProfile } from "../keywrap/compat.js";
import type { Key, Recipient } from "../keywrap/types.js";
import { decryptContent } from "../layer/decrypt.js";
import { encryptLayer } from "../layer/encrypt.js";
import { distinctRecipients } from "../layer/wrap.js";
import {
  type Descriptor,
  type DescriptorLike,
  foreignAnnotations,
  PUBLIC_OPTIONS,
} from "../spec/descriptor.js";
import { encryptedMediaType, plainMediaType } from "../spec/media-types.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { mergeLayer, reportLayer, writeImage, type OperationOptions } from "./operation.js";
import type { EncryptImageResult } from "./encrypt.js";
import { progressMeter, type ProgressMeter } from "./engine/copy-blobs.js";
import { layerIdentity, runSteps, type LayerStep } from "./engine/run-steps.js";
import { bindingOf, findUnbound, requireBinding, type ImageHashes } from "./features/binding.js";
import { readExpectations } from "./features/expected-config.js";
import { findCopies, type CopyWords } from "./features/plain-left.js";
import { readSelected } from "./manifests/missing.js";
import {
  selectEncrypted,
  type SelectedLayer,
  type LayerSelection,
} from "./manifests/select-layers.js";
import { requireRoomForKeys } from "./size-check.js";

export interface RotateImageOptions extends LayerSelection, OperationOptions {
  /** The keys to try on every wrapped key of every layer. */
  keys: readonly Key[];
  /**
   * The recipients who will be able to decrypt the new layers. Anyone not listed here loses access,
   * because a wrapped key does not contain the public key that it was wrapped with. Duplicate
   * public keys count once.
   */
  recipients: readonly Recipient[];
  /**
   * Whether the wrapped keys bind each layer to its position in this image, so that decryption
   * rejects the layer anywhere else. Recipients without {@link Recipient.roomForBinding} get no
   * binding. Default: true.
   */
  bind?: boolean | undefined;
  /** Rejects anything that the readers of a profile could not decrypt. Default: no profile. */
  compat?: CompatProfile | undefined;
}

/**
 * Encrypts the encrypted layers of an image again, each with a new key. The old key of a layer does
 * not open the new layer. Layers are decrypted and encrypted as a stream. Plaintext is never
 * written, and nothing is published until the old layers are verified. Plain layers are kept.
 *
 * **Old copies stay readable** for anyone who could open them: delete the old image.
 *
 * @throws {@link OcicryptError} `NOT_ENCRYPTED`, `NO_KEYS`, `NO_RECIPIENTS`, `NO_MATCHING_KEY`,
 *   `PROFILE_IMPOSSIBLE`, `HMAC_MISMATCH`, `BINDING_MISMATCH`, `ANNOTATION_TOO_LARGE`; and the other
 *   errors of `decryptLayer` and {@link encryptImage}
 */
export async function rotateImage(
  source: ImageSource,
  destination: ImageDestination,
  options: RotateImageOptions,
): Promise<EncryptImageResult> {
  return writeImage(source, destination, options.signal, async () => {
    const { keys, signal } = options;
    const recipients = distinctRecipients(options.recipients);
    const tree = await readSelected(source, options);
    const selected = selectEncrypted(tree, options);
    requireCompatible(options.compat, recipients, selected.map(typeAfter));
    const expected = await readExpectations(source, selected, { allowUnverified: true, signal });
    const { hashes, problems } = expected;
    const bound = options.bind === false ? undefined : hashes;
    await requireRoomForKeys({ tree, selected, recipients, bound, signal });
    const meter = progressMeter(tree, options.onProgress);
    const rewritten = await runSteps({
      ...{ source, destination, tree, selected, meter, signal },
      step: rotationStep({
        ...{ source, destination, recipients, keys, meter, hashes, bound },
        threads: options.threads,
      }),
      changes: (parts) => ({ parts }),
      concurrency: options.concurrency,
    });
    const layers = [...rewritten.layers].map(([layer, after]) => reportLayer(layer, after));
    const leftovers = await findCopies(selected, tree.manifests, destination, OLD_COPIES);
    const unbound = [...problems].map(([{ descriptor }, problem]) => `the layers of the manifest ${descriptor.digest} are not bound to it: ${problem}`); // prettier-ignore
    const warnings = bound === undefined ? leftovers : [...unbound, ...findUnbound(selected), ...leftovers]; // prettier-ignore
    return { tree, rewritten, report: { layers }, warnings };
  });
}

interface RotationContext {
  source: ImageSource;
  destination: ImageDestination;
  recipients: readonly Recipient[];
  keys: readonly Key[];
  meter: ProgressMeter;
  hashes: ImageHashes;
  bound: ImageHashes | undefined;
  threads: number | undefined;
}

function rotationStep(context: RotationContext): LayerStep {
  const { source, destination, recipients, keys, meter, hashes, bound, threads } = context;
  return {
    // Layers with the same blob and HMAC have the same key, for whichever recipients, and still
    // share one blob afterwards.
    identity: ({ descriptor }) =>
      layerIdentity(descriptor, descriptor.annotations?.[PUBLIC_OPTIONS]),
    merge: mergeLayer,
    async run(layers, signal) {
      const [{ descriptor }] = layers;
      const content = meter.count(source.read(descriptor, { signal }), descriptor, "encrypt");
      const old = await decryptContent(content, { descriptor, keys, threads, signal });
      for (const layer of layers) requireBinding(layer, old.binding, { hashes });
      // If the old layer does not verify, its stream fails at its end. The new stream then fails
      // too, so that the destination discards the blob.
      const layer = encryptLayer(old.stream, {
        descriptor: plainDescriptor(descriptor),
        recordedDigest: old.recordedDigest,
        binding: bound && bindingOf(layers, bound),
        ...{ recipients, threads, signal },
      });
      await destination.write(layer.stream, () => layer.finalize(), { signal });
      return layer.finalize();
    },
  };
}

function typeAfter({ descriptor }: SelectedLayer): string {
  return encryptedMediaType(plainMediaType(descriptor.mediaType));
}

/** Without a digest, because the digest of the plain layer is unknown before it is decrypted. */
function plainDescriptor(descriptor: Descriptor): DescriptorLike {
  const { mediaType, size } = descriptor;
  return {
    mediaType: plainMediaType(mediaType),
    size,
    annotations: foreignAnnotations(descriptor),
  };
}

/** The words for layers that still exist under their old keys. */
const OLD_COPIES: CopyWords = {
  kind: "layer",
  twin: (digest) =>
    `the layer ${digest} has a new key in one place, but keeps its old key in another`,
  left: (layers) =>
    `the destination still holds the blobs of ${layers} under the old keys; to avoid this, rotate into a new place`,
};
