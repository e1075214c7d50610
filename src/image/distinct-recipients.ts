import type { Recipient } from "../keywrap/types.js";

/**
 * The recipients without those that are there twice: one public key, in one scheme, with one
 * algorithm, whatever it is called; the first stays. What has no thumbprint can not be told apart, and stays.
 */
export function distinctRecipients(recipients: readonly Recipient[]): Recipient[] {
  const seen = new Set<string>();
  return recipients.filter(({ scheme, algorithm, thumbprint }) => {
    if (thumbprint === undefined) return true;
    const name = JSON.stringify([scheme, algorithm, thumbprint]);
    return !seen.has(name) && seen.add(name);
  });
}
