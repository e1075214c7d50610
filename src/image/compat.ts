import { OcicryptError } from "../errors.js";
import { layerProblem, recipientProblem, type Profile } from "../keywrap/compat.js";
import type { Recipient } from "../keywrap/types.js";
import type { DescriptorLike } from "../spec/descriptor.js";
import { encryptedMediaType, plainMediaType } from "../spec/media-types.js";

/**
 * Refuses what the readers of a profile could not decrypt.
 *
 * @param layers that are encrypted, or will be
 * @throws {@link OcicryptError} `PROFILE_IMPOSSIBLE`
 */
export function requireCompatible(
  profile: Profile | undefined,
  recipients: readonly Recipient[],
  layers: readonly Pick<DescriptorLike, "mediaType">[],
): void {
  if (profile === undefined) return;
  const problems = [
    ...recipients.map((recipient) => recipientProblem(profile, recipient)),
    ...layers.map(({ mediaType }) =>
      layerProblem(profile, encryptedMediaType(plainMediaType(mediaType))),
    ),
  ].filter((problem) => problem !== undefined);
  if (problems.length === 0) return;
  throw new OcicryptError("PROFILE_IMPOSSIBLE", [...new Set(problems)].join("; "));
}
