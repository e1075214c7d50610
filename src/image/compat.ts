import { OcicryptError } from "../errors.js";
import { layerProblem, recipientProblem, type Profile } from "../keywrap/compat.js";
import type { Recipient } from "../keywrap/types.js";

/**
 * Refuses what the readers of a profile could not decrypt.
 *
 * @param mediaTypes of the encrypted layers, as they are or will be
 * @throws {@link OcicryptError} `PROFILE_IMPOSSIBLE`
 */
export function requireCompatible(
  profile: Profile | undefined,
  recipients: readonly Recipient[],
  mediaTypes: readonly string[],
): void {
  if (profile === undefined) return;
  const problems = [
    ...recipients.map((recipient) => recipientProblem(profile, recipient)),
    ...mediaTypes.map((mediaType) => layerProblem(profile, mediaType)),
  ].filter((problem) => problem !== undefined);
  if (problems.length === 0) return;
  throw new OcicryptError("PROFILE_IMPOSSIBLE", [...new Set(problems)].join("; "));
}
