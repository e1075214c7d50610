import type { RecipientInfo } from "../types.js";
import { ANY } from "../../text/json.js";
import { parseObject } from "./messages.js";
import { printable } from "../../text/printable.js";

const MAX_LENGTH = 200;

/**
 * Describes a wrapped key. Its format is up to the provider; those of Confidential Containers
 * (`kid`, `wrap_type`) and of ocicrypt's documentation (`key_url`) write JSON that names the key.
 */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  const packet = parseObject(wrapped, ANY);
  const keyId = readText(packet?.kid) ?? readText(packet?.key_url);
  if (keyId === undefined) return [{ algorithm: "provider" }];
  return [{ algorithm: readText(packet?.wrap_type) ?? "provider", keyId }];
}

function readText(value: unknown): string | undefined {
  const text = typeof value === "string" ? printable(value, MAX_LENGTH) : "";
  return text === "" ? undefined : text;
}
