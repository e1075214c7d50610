import type { RecipientInfo } from "../types.js";
import { parseBlob } from "./blob.js";
import { oaepAlgorithm } from "./oaep.js";

/** The recipients of a wrapped key: the algorithm of each, as nothing says whose it is. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseBlob(wrapped).map(({ hash }) => ({ algorithm: oaepAlgorithm(hash) }));
}
