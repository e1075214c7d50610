import { decodeBase64, encodeBase64 } from "../../spec/base64.js";
import { MAX_MESSAGE_SIZE } from "./limits.js";
import type { AnswerEncoding } from "./types.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/** A message's JSON object; `undefined` for all else, as the parser's error would quote secrets. */
export function parseObject(bytes: Uint8Array): JsonObject | undefined {
  if (bytes.byteLength > MAX_MESSAGE_SIZE) return undefined;
  try {
    return asObject(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch {
    return undefined;
  }
}

export function asObject(value: unknown): JsonObject | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as JsonObject) : undefined;
}

/**
 * Bytes in Go's JSON, which are written as base64 and read from base64 or an array of numbers;
 * serde of Rust writes and reads arrays. `undefined` for all else.
 */
export function readBytes(value: unknown): Uint8Array | undefined {
  if (typeof value === "string") return decodeBase64(value) ?? undefined;
  if (!Array.isArray(value)) return undefined;
  return value.every(isByte) ? Uint8Array.from(value) : undefined;
}

export function writeBytes(bytes: Uint8Array, encoding: AnswerEncoding): string | number[] {
  return encoding === "numbers" ? Array.from(bytes) : encodeBase64(bytes);
}

function isByte(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;
}
