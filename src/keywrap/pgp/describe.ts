import type { RecipientInfo } from "../types.js";
import { algorithmName } from "./algorithms.js";
import { parseMessage } from "./message.js";

/** The recipients of an OpenPGP message: the algorithm and the key id of each. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseMessage(wrapped).sessionKeys.map(({ algorithm, keyId }) => ({
    algorithm: algorithmName(algorithm),
    ...(keyId !== undefined && { keyId: `0x${keyId}` }),
  }));
}
