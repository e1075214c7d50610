import type { KeyIdentity } from "./key-ring.js";

/** A recipient's name: a key id or fingerprint in lower-case hex, or a name or email address. */
export interface RecipientName {
  text: string;
  hex: string | undefined;
}

/** @throws {TypeError} for an empty name or one with a NUL */
export function parseName(name: string): RecipientName {
  if (name.trim() === "" || name.includes("\0")) {
    throw new TypeError("the name of an OpenPGP recipient must not be empty");
  }
  const digits = name.replaceAll(" ", "").replace(/^0x/i, "").toLowerCase();
  // A key id, and the fingerprints of version 4 and version 6 keys.
  const isHex = /^(?:[0-9a-f]{16}|[0-9a-f]{40}|[0-9a-f]{64})$/.test(digits);
  return { text: name, hex: isHex ? digits : undefined };
}

/** Whether a name is the key id or fingerprint of a primary key or subkey. */
export function matchesIdentity(
  identity: KeyIdentity | undefined,
  { hex }: RecipientName,
): identity is KeyIdentity {
  return identity !== undefined && (hex === identity.keyId || hex === identity.fingerprint);
}

/**
 * Whether a name is the name, the email address or the full text of a user id. User ids are free
 * text; `Name (comment) <email>` is only a convention (RFC 9580 section 5.11).
 */
export function matchesUserId(userId: string, { text }: RecipientName): boolean {
  if (userId === text) return true;
  const [, display = "", email] = /^([^<]*)<([^<>]*)>\s*$/.exec(userId) ?? [undefined, userId];
  // gpg and most mail servers ignore case in email addresses.
  if (text.includes("@") && lowerAscii(email ?? userId) === lowerAscii(text)) return true;
  return display.trim() === text || display.replace(/\([^()]*\)\s*$/, "").trim() === text;
}

/** Converts ASCII only: other letters, such as the Kelvin sign, have ASCII lower-case forms. */
function lowerAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
