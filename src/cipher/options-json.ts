import { OcicryptError, type ErrorCode } from "../errors.js";
import { decodeBase64 } from "../spec/base64.js";

/**
 * The members of a JSON object by lower-case name: Go reads names in any case, and writers have
 * relied on it. Two names that differ in case only are refused, as readers would disagree.
 */
export function readMembers(json: Uint8Array, what: string, code: ErrorCode): Map<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    // The parser's own message quotes the text, which can be a secret.
    throw new OcicryptError(code, `the ${what} are not JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new OcicryptError(code, `the ${what} are not a JSON object`);
  }
  const members = new Map<string, unknown>();
  for (const [name, member] of Object.entries(value)) {
    const key = name.toLowerCase();
    if (members.has(key)) throw new OcicryptError(code, `the ${what} name one member twice`);
    members.set(key, member);
  }
  return members;
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
  if (value === undefined || value === null) return new Map();
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new OcicryptError(code, `the cipheroptions of the ${what} are not a JSON object`);
  }
  return new Map(Object.entries(value));
}
