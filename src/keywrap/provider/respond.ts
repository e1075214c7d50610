import { OcicryptError } from "../../errors.js";
import { encodeAnswer } from "./answer.js";
import { parseRequest, type Operation, type Request } from "./request.js";
import type { AnswerEncoding, KeyProvider } from "./types.js";

export interface ServeOptions {
  /**
   * The provider's name in its clients' configuration, to take no parameters but its own. Without
   * it the parameters of other providers come along where a client uses several.
   */
  name?: string | undefined;
  /** `numbers` for clients of ocicrypt-rs, by default `base64`. Go reads both. */
  encoding?: AnswerEncoding | undefined;
}

/**
 * Answers one request.
 *
 * @param message the request; it is overwritten
 * @param expected the operation, where the transport names it too
 * @throws {@link OcicryptError} `PROVIDER_INVALID_REQUEST`, `NO_MATCHING_KEY`,
 *   `PROVIDER_INVALID_RESPONSE`; what the provider throws
 */
export async function respond(
  provider: KeyProvider,
  message: Uint8Array,
  { name, encoding = "base64" }: ServeOptions,
  signal: AbortSignal,
  expected?: Operation,
): Promise<Uint8Array> {
  const { operation, bytes, params } = readRequest(message, name);
  if (expected !== undefined && operation !== expected) {
    const what = `its operation is ${operation}, the method called is for ${expected}`;
    throw new OcicryptError("PROVIDER_INVALID_REQUEST", `the request is contradictory: ${what}`);
  }
  let result: Uint8Array | null | undefined;
  try {
    const method = operation === "keywrap" ? "wrapKey" : "unwrapKey";
    result = await provider[method]({ bytes, params, signal });
    if (result === null) {
      throw new OcicryptError("NO_MATCHING_KEY", "the wrapped key is not for this provider");
    }
    if (result.byteLength === 0) {
      throw new OcicryptError("PROVIDER_INVALID_RESPONSE", "the provider returned nothing");
    }
    return encodeAnswer(operation, result, encoding);
  } finally {
    bytes.fill(0);
    if (operation === "keyunwrap") result?.fill(0);
  }
}

function readRequest(message: Uint8Array, name: string | undefined): Request {
  try {
    return parseRequest(message, name);
  } finally {
    message.fill(0);
  }
}
