import { OcicryptError, type ErrorCode } from "../errors.js";
import { decodeBase64 } from "../spec/base64.js";
import { MAX_ANNOTATION_LENGTH } from "../spec/limits.js";
import { asObject, parseJson, requireObject, type JsonObject, type Shape } from "../text/json.js";

/**
 * Reads the JSON object of public or private options. Its names may be in any case, because Go
 * reads names in any case, and writers have relied on this.
 */
export function readOptions(
  json: Uint8Array,
  what: string,
  shape: Shape,
  code: ErrorCode,
): JsonObject {
  // The reason is not part of the message, because it quotes the text, which can be a secret.
  const refuse = (): OcicryptError =>
    new OcicryptError(code, `the ${what} are not valid JSON, or readers could disagree about them`);
  const value = parseJson(json, { shape, maxSize: MAX_ANNOTATION_LENGTH, refuse });
  return requireObject(value, () => new OcicryptError(code, `the ${what} are not a JSON object`));
}

/**
 * Reads bytes as Go writes them: base64, or `null` if absent. Returns `undefined` if they are
 * absent.
 */
export function readBytes(value: unknown, what: string, code: ErrorCode): Uint8Array | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const bytes = typeof value === "string" ? decodeBase64(value) : null;
  if (bytes === null) throw new OcicryptError(code, `${what} is not base64`);
  return bytes;
}

/** Reads the `cipheroptions` object, which Go writes as `null` if it is empty. */
export function readCipherOptions(
  value: unknown,
  what: string,
  code: ErrorCode,
): ReadonlyMap<string, unknown> {
  const object = asObject(value ?? {});
  if (object === undefined) {
    throw new OcicryptError(code, `the cipheroptions of the ${what} are not a JSON object`);
  }
  return new Map(Object.entries(object));
}
