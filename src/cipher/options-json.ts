import { OcicryptError, type ErrorCode } from "../errors.js";
import { decodeBase64 } from "../spec/base64.js";
import { MAX_ANNOTATION_LENGTH } from "../spec/limits.js";
import { asObject, parseJson, requireObject, type JsonObject, type Shape } from "../text/json.js";

/**
 * The object in the JSON of public or private options. Its names may be in any case: Go reads
 * names so, and writers have relied on it.
 */
export function readOptions(
  json: Uint8Array,
  what: string,
  shape: Shape,
  code: ErrorCode,
): JsonObject {
  // Reasons that quote the text are left out, as it can be a secret.
  const refuse = (): OcicryptError =>
    new OcicryptError(code, `the ${what} are not JSON that all readers read alike`);
  const value = parseJson(json, { shape, maxSize: MAX_ANNOTATION_LENGTH, refuse });
  return requireObject(value, () => new OcicryptError(code, `the ${what} are not a JSON object`));
}

/** Go writes byte arrays as base64 and an absent one as `null`; `undefined` for an absent one. */
export function readBytes(value: unknown, what: string, code: ErrorCode): Uint8Array | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const bytes = typeof value === "string" ? decodeBase64(value) : null;
  if (bytes === null) throw new OcicryptError(code, `${what} is not base64`);
  return bytes;
}

/** The `cipheroptions` object, which Go writes as `null` when nothing was put into it. */
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
