import { OcicryptError } from "../../errors.js";
import { asObject, parseObject, readBytes, writeBytes } from "./json.js";
import type { Operation } from "./request.js";
import type { AnswerEncoding } from "./types.js";

/** An answer with the half that belongs to the operation. */
export function encodeAnswer(
  operation: Operation,
  bytes: Uint8Array,
  encoding: AnswerEncoding,
): Uint8Array {
  const value = writeBytes(bytes, encoding);
  const answer =
    operation === "keywrap"
      ? { keywrapresults: { annotation: value } }
      : { keyunwrapresults: { optsdata: value } };
  return Buffer.from(JSON.stringify(answer), "utf8");
}

/**
 * The bytes in the half of an answer that belongs to the operation.
 *
 * @param who the provider
 * @throws {@link OcicryptError} `PROVIDER_INVALID_RESPONSE`
 */
export function parseAnswer(operation: Operation, message: Uint8Array, who: string): Uint8Array {
  if (message.byteLength === 0) throw invalid(who, "it is empty");
  const answer = parseObject(message);
  if (answer === undefined) throw invalid(who, "it is not a JSON object");
  const [half, member] =
    operation === "keywrap" ? ["keywrapresults", "annotation"] : ["keyunwrapresults", "optsdata"];
  const value = asObject(answer[half])?.[member];
  if (value === undefined || value === null) throw invalid(who, `it has no ${half}.${member}`);
  const bytes = readBytes(value);
  if (bytes === undefined) throw invalid(who, `${half}.${member} is neither base64 nor bytes`);
  if (bytes.byteLength === 0) throw invalid(who, `${half}.${member} is empty`);
  return bytes;
}

export function invalid(who: string, why: string): OcicryptError {
  return new OcicryptError("PROVIDER_INVALID_RESPONSE", `the answer of ${who} is invalid: ${why}`);
}
