import { toLatin1 } from "#engine/bytes";
import { OcicryptError } from "../../errors.js";
import type { RecipientInfo } from "../../keywrap/types.js";
import { MAX_AGE_STANZAS, MAX_WRAPPED_KEY_SIZE } from "../../spec/limits.js";

/** The first line of an age file: https://c2sp.org/age#header */
const INTRO = "age-encryption.org/v1\n";
const LABEL = "AGE ENCRYPTED FILE";

/** The stanza types that a quantum computer does not open: https://c2sp.org/age */
const POST_QUANTUM: readonly string[] = ["mlkem768x25519", "mlkem768p256tag"];

/** Whether content is a binary age file. */
export function isAgeFile(content: Uint8Array): boolean {
  return toLatin1(content.subarray(0, 1000)).trimStart().startsWith(INTRO);
}

/** Whether a text is an armoured age file: https://c2sp.org/age#ascii-armor */
export function isArmouredAgeFile(text: string): boolean {
  return text.trimStart().startsWith(`-----BEGIN ${LABEL}-----`);
}

/** Whether a text is an identity file: https://c2sp.org/age lists its lines. */
export function isIdentityFile(text: string): boolean {
  return !text.includes("-----BEGIN ") && /^[ \t]*AGE-(?:SECRET-KEY|PLUGIN)-/m.test(text);
}

/**
 * Returns the types of the stanzas of a binary age file, one for each recipient.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function stanzaTypes(file: Uint8Array): string[] {
  if (file.byteLength > MAX_WRAPPED_KEY_SIZE) throw damaged("it is too large");
  const text = toLatin1(file);
  const end = text.indexOf("\n--- ");
  if (!text.startsWith(INTRO) || end < 0) throw damaged("its header is not complete");
  const types = text
    .slice(0, end)
    .split("\n")
    .filter((line) => line.startsWith("-> "))
    .map((line) => line.split(" ")[1] ?? "");
  if (types.length === 0) throw damaged("it has no recipient");
  if (types.length > MAX_AGE_STANZAS) throw damaged("it has too many recipients");
  if (types.every((type) => /^[\x21-\x7e]{1,100}$/.test(type))) return types;
  throw damaged("a recipient has no type");
}

export function damaged(why: string, cause?: unknown): OcicryptError {
  const message = `the age file of a wrapped key cannot be used: ${why}`;
  return new OcicryptError("WRAPPED_KEY_INVALID", message, cause === undefined ? {} : { cause });
}

/**
 * Describes a wrapped key; age files do not name their recipients. Empty if it is not an age file.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  if (!isAgeFile(wrapped)) return [];
  return stanzaTypes(wrapped)
    .filter((type) => !type.endsWith("-grease"))
    .map((type) => ({ algorithm: type, postQuantum: POST_QUANTUM.includes(type) }));
}
