import { readFile } from "node:fs/promises";
import { OcicryptError } from "../../errors.js";
import type { Pkcs11Uri } from "./uri.js";

/** Far above the longest PIN of any token. */
const MAX_SIZE = 4096;

/**
 * The PIN that a URI gives or names a file of; `undefined` where it does neither. The file's last
 * line end is no part of it, which Go leaves in.
 *
 * @throws {@link OcicryptError} `PIN_MISSING` when the file cannot be read
 */
export async function readPin({ pinValue, pinSource }: Pkcs11Uri): Promise<string | undefined> {
  const pin = pinSource === undefined ? pinValue : await readPinFile(pinSource);
  return pin === "" ? undefined : pin;
}

async function readPinFile(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    // The path is left out: who takes pin-source for pin-value writes the PIN there.
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
    throw new OcicryptError(
      "PIN_MISSING",
      `the file that pin-source names cannot be read: ${code}`,
    );
  }
  try {
    if (bytes.byteLength > MAX_SIZE) throw new RangeError();
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new OcicryptError("PIN_MISSING", "the file that pin-source names does not hold a PIN");
  } finally {
    bytes.fill(0);
  }
}
