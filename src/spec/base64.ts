/**
 * Decodes the standard alphabet with padding as Go's `base64.StdEncoding` does, which skips only
 * line breaks. Returns `null` for any other text.
 */
export function decodeBase64(text: string): Uint8Array | null {
  const joined = text.replace(/[\r\n]/g, "");
  if (joined.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(joined)) return null;
  return Buffer.from(joined, "base64");
}

/** Encodes with the standard alphabet and padding. */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
