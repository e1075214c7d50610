import type { RecipientInfo } from "../types.js";
import { parseJwe } from "./message.js";

/** The recipients of a JWE: the algorithm and the `kid` of each. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseJwe(wrapped).map(({ algorithm, kid }) => ({
    algorithm,
    ...(kid !== undefined && { keyId: kid }),
  }));
}
