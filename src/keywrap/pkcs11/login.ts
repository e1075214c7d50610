import { createHash } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import { CKU_USER, returnCode, tokenFailed, type Cryptoki, type TokenInfo } from "./cryptoki.js";

const WRONG: readonly (string | undefined)[] = [
  "CKR_PIN_INCORRECT",
  "CKR_PIN_INVALID",
  "CKR_PIN_LEN_RANGE",
];

/**
 * The PINs that tokens have refused in this process, as digests. Few wrong ones lock a token, and
 * an image has many layers, so none is tried twice.
 */
const refused = new Set<string>();

/**
 * Logs in unless this process is logged in to the token already.
 *
 * @returns whether there is something to log out of
 * @throws {@link OcicryptError} `PIN_WRONG`, `TOKEN_FAILED`
 */
export function login(cryptoki: Cryptoki, session: Buffer, token: TokenInfo, pin: string): boolean {
  const attempt = digestOf(token, pin);
  if (refused.has(attempt)) {
    throw wrong("the token has refused this PIN before; it is not tried again by this process");
  }
  try {
    cryptoki.C_Login(session, CKU_USER, pin);
    return true;
  } catch (error) {
    const code = returnCode(error);
    // PKCS #11 2.40 section 5.6: all sessions of an application with a token are logged in at once.
    if (code === "CKR_USER_ALREADY_LOGGED_IN") return false;
    if (code === "CKR_PIN_LOCKED") throw wrong("the token is locked after too many wrong PINs");
    if (!WRONG.includes(code)) throw tokenFailed("C_Login", error);
    refused.add(attempt);
    throw wrong("the token refuses the PIN");
  }
}

function digestOf({ label, manufacturerID, model, serialNumber }: TokenInfo, pin: string): string {
  const attempt = JSON.stringify([label, manufacturerID, model, serialNumber, pin]);
  return createHash("sha256").update(attempt).digest("base64");
}

function wrong(message: string): OcicryptError {
  return new OcicryptError("PIN_WRONG", message);
}
