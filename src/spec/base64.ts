import { fromBase64, toBase64 } from "#engine/bytes";

/**
 * Decodes the standard alphabet with padding as Go's `base64.StdEncoding` does, which skips only
 * line breaks. Returns `null` for any other text.
 */
export function decodeBase64(text: string): Uint8Array | null {
  const joined = text.replace(/[\r\n]/g, "");
  if (joined.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(joined)) return null;
  return fromBase64(joined);
}

/** Encodes with the standard alphabet and padding. */
export function encodeBase64(bytes: Uint8Array): string {
  return toBase64(bytes);
}
