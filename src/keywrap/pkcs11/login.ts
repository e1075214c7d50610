import { createHash } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import { CKU_USER, returnCode, tokenFailed, type Cryptoki, type TokenInfo } from "./cryptoki.js";
import { readFile } from "node:fs/promises";
import type { Pkcs11Uri } from "./uri.js";

const WRONG: readonly (string | undefined)[] = [
  "CKR_PIN_INCORRECT",
  "CKR_PIN_INVALID",
  "CKR_PIN_LEN_RANGE",
];

/**
 * Digests of the PINs that tokens have rejected in this process. A few wrong PINs lock a token, and
 * an image has many layers, so no PIN is tried twice.
 */
const refused = new Set<string>();

/**
 * Logs in unless this process is already logged in to the token.
 *
 * @returns whether this call logged in, so that its caller must log out
 * @throws {@link OcicryptError} `PIN_WRONG`, `TOKEN_FAILED`
 */
export function login(cryptoki: Cryptoki, session: Buffer, token: TokenInfo, pin: string): boolean {
  const attempt = digestOf(token, pin);
  if (refused.has(attempt)) {
    throw wrong("the token has already rejected this PIN; this process does not try it again");
  }
  try {
    cryptoki.C_Login(session, CKU_USER, pin);
    return true;
  } catch (error) {
    const code = returnCode(error);
    // PKCS#11 2.40 section 5.6: all sessions of an application with a token are logged in at once.
    if (code === "CKR_USER_ALREADY_LOGGED_IN") return false;
    if (code === "CKR_PIN_LOCKED") throw wrong("the token is locked after too many wrong PINs");
    if (!WRONG.includes(code)) throw tokenFailed("C_Login", error);
    refused.add(attempt);
    throw wrong("the token rejected the PIN");
  }
}

function digestOf({ label, manufacturerID, model, serialNumber }: TokenInfo, pin: string): string {
  const attempt = JSON.stringify([label, manufacturerID, model, serialNumber, pin]);
  return createHash("sha256").update(attempt).digest("base64");
}

function wrong(message: string): OcicryptError {
  return new OcicryptError("PIN_WRONG", message);
}

/** Longer than the PIN of any token. */
const MAX_SIZE = 4096;

/**
 * Reads the PIN from a URI or from the file that the URI names; `undefined` if it has neither. Unlike
 * Go, this ignores the line break at the end of the file.
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
    // The path is not shown: anyone who mistakes pin-source for pin-value writes the PIN there.
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
    throw new OcicryptError("PIN_MISSING", `the file named by pin-source cannot be read: ${code}`);
  }
  try {
    if (bytes.byteLength > MAX_SIZE) throw new RangeError();
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new OcicryptError("PIN_MISSING", "the file named by pin-source does not contain a PIN");
  } finally {
    bytes.fill(0);
  }
}
