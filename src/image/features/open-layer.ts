import { isOcicryptError } from "../../errors.js";
import { verified } from "../../io/content.js";
import type { Key } from "../../keywrap/types.js";
import { decryptLayer } from "../../layer/decrypt.js";
import { isEncryptedDescriptor, type Descriptor } from "../../spec/descriptor.js";
import { parseDigest } from "../../spec/digest.js";
import type { SameLayers } from "../engine/run-steps.js";
import type { SelectedLayer } from "../manifests/select-layers.js";
import { requireBinding } from "./binding.js";
import { withDiffId, type DiffIdCheck, type DiffIdCheckStream } from "./diff-id.js";
import type { Expectations } from "./expected-config.js";

export interface LayerOpening {
  keys: readonly Key[];
  expected: Expectations;
  /** Whether to accept a layer that is not what the config says. */
  allowUnverified: boolean;
  /** Whether to reject an encrypted layer that is not bound to its image. */
  requireBound: boolean | undefined;
  threads: number | undefined;
}

/** A layer without its encryption. */
export interface OpenedLayer {
  /** The plain layer, as compressed as before. Do not trust it before {@link verify} has ended. */
  content: AsyncIterable<Uint8Array>;
  /** Whether each of the layers is bound to its place. */
  bound: readonly boolean[];
  /**
   * Finishes the checks, once the content has been read to its end.
   *
   * @throws {@link OcicryptError} `DIFF_ID_MISMATCH`, `DIFF_ID_UNCHECKED`
   */
  verify(): Promise<{ descriptor: Descriptor; checks: readonly DiffIdCheck[] }>;
}

/**
 * Opens a layer, encrypted or plain. Its content is verified while it is read: against its descriptor
 * and HMAC, and against the diffID of the image's config.
 *
 * @param layers layers that share one blob and one diffID
 * @param blob the blob as it is in the image
 * @throws {@link OcicryptError} as `decryptLayer`; `BINDING_MISMATCH`, `POLICY_VIOLATION`
 */
export async function openLayer(
  layers: SameLayers,
  blob: AsyncIterable<Uint8Array>,
  { keys, expected, allowUnverified, requireBound, threads }: LayerOpening,
  signal: AbortSignal | undefined,
): Promise<OpenedLayer> {
  const [{ descriptor }] = layers;
  const { hashes, diffIds, problems } = expected;
  const diffId = diffIds.get(layers[0]);

  /** Returns the result for a layer that has no diffID to compare with. */
  function unchecked({ manifest }: SelectedLayer): DiffIdCheck {
    const problem = problems.get(manifest);
    if (problem !== undefined) return `unverified: ${problem}`;
    return "skipped: the config has no diffIDs";
  }

  async function checkDiffId(stream: DiffIdCheckStream): Promise<DiffIdCheck> {
    try {
      await stream.check();
      return "verified";
    } catch (error) {
      if (!allowUnverified || !isOcicryptError(error)) throw error;
      return `unverified: ${error.message}`;
    }
  }

  function withChecks(
    content: AsyncIterable<Uint8Array>,
    algorithm: string,
    finalize: () => Promise<Descriptor>,
  ): Omit<OpenedLayer, "bound"> {
    const passing = { algorithm, digest: async () => (await finalize()).digest };
    const stream = diffId === undefined ? undefined : withDiffId(content, diffId, passing);
    return {
      content: stream?.content ?? content,
      async verify() {
        const checked = stream && (await checkDiffId(stream));
        const checks = layers.map((layer) => checked ?? unchecked(layer));
        return { descriptor: await finalize(), checks };
      },
    };
  }

  if (!isEncryptedDescriptor(descriptor)) {
    const { algorithm } = parseDigest(descriptor.digest);
    const content = verified(blob, descriptor, signal);
    const opened = withChecks(content, algorithm, () => Promise.resolve(descriptor));
    return { ...opened, bound: layers.map(() => false) };
  }
  const decrypted = await decryptLayer(blob, { descriptor, keys, threads, signal });
  const { binding } = decrypted;
  const bound = layers.map(
    (each) => requireBinding(each, binding, { hashes, required: requireBound }) === "bound",
  );
  return { ...withChecks(decrypted.stream, "sha256", () => decrypted.finalize()), bound };
}
