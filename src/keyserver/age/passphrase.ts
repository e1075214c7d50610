import { createDecipheriv } from "node:crypto";
import { scrypt } from "#engine/key-cipher";
import { OcicryptError } from "../../errors.js";
import { abortable } from "../../io/abort.js";
import { MAX_PASSWORD_SIZE, MAX_SCRYPT_MEMORY } from "../../spec/limits.js";

/** A stanza as age-encryption gives it to an identity. */
interface Stanza {
  readonly args: readonly string[];
  readonly body: Uint8Array;
}

const LABEL = "age-encryption.org/v1/scrypt";
const BLOCK = 8;

/**
 * Returns the file key of an age file that a passphrase opens; `null` for a wrong passphrase. The
 * identity of age-encryption would derive the key on the main thread, which takes a second.
 * https://c2sp.org/age#the-scrypt-recipient-type
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export async function unwrapFileKey(
  [stanza, ...others]: readonly Stanza[],
  password: string | Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array | null> {
  const [type, salt = "", logN = ""] = stanza?.args ?? [];
  if (stanza === undefined || type !== "scrypt" || others.length > 0) {
    throw unsupported("it is not encrypted with a passphrase");
  }
  const cost = /^[1-9]\d?$/.test(logN) ? 2 ** Number(logN) : 0;
  const bytes = Buffer.from(salt, "base64");
  if (cost === 0 || bytes.byteLength !== 16 || stanza.body.byteLength !== 32) {
    throw unsupported("its header is damaged");
  }
  if (128 * BLOCK * cost > MAX_SCRYPT_MEMORY) throw unsupported("its work factor is too high");
  if (Buffer.byteLength(password) > MAX_PASSWORD_SIZE) throw unsupported("the passphrase is too long"); // prettier-ignore
  const derived = derive(password, Buffer.concat([Buffer.from(LABEL), bytes]), cost);
  const key = await abortable(derived, signal);
  try {
    return open(key, stanza.body);
  } finally {
    key.fill(0);
  }
}

function derive(text: string | Uint8Array, salt: Uint8Array, cost: number): Promise<Uint8Array> {
  const password = typeof text === "string" ? Buffer.from(text, "utf8") : text;
  // OpenSSL counts a little more than the memory of the blocks.
  const maxMemory = MAX_SCRYPT_MEMORY + 64 * 1024;
  return scrypt({ password, salt, N: cost, r: BLOCK, p: 1, maxMemory }, 32);
}

function open(key: Uint8Array, body: Uint8Array): Uint8Array | null {
  const nonce = Buffer.alloc(12);
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  decipher.setAuthTag(body.subarray(16));
  try {
    return Buffer.concat([decipher.update(body.subarray(0, 16)), decipher.final()]);
  } catch {
    return null;
  }
}

function unsupported(why: string): OcicryptError {
  return new OcicryptError("KEY_UNSUPPORTED", `the age file cannot be opened: ${why}`);
}
