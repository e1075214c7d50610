import type { Stanza } from "age-encryption";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import { newAttempts, takeAttempt } from "../../keywrap/unwrapping.js";
import type { Key, Recipient } from "../../keywrap/types.js";
import { recoverKeyFile } from "../../keys/material.js";
import { decodeBlock, pemBlocks } from "../../keys/pem.js";
import { MAX_KEY_FILE_SIZE, MAX_KEYS_PER_FILE } from "../../spec/limits.js";
import { printable } from "../../text/printable.js";
import { damaged, isAgeFile, isArmouredAgeFile, stanzaTypes } from "./file.js";
import { unwrapFileKey } from "./passphrase.js";

const SCHEME = "provider.age";

/**
 * Creates a recipient from an age public key: `age1…` (X25519) or `age1pq1…` (ML-KEM-768 with
 * X25519, which a quantum computer does not break either).
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` for age plugins and SSH keys, `KEY_IS_PRIVATE`,
 *   `KEY_UNRECOGNIZED`
 */
export async function recipient(text: string): Promise<Recipient> {
  if (/^AGE-(?:SECRET|PLUGIN)/i.test(text)) {
    throw new OcicryptError("KEY_IS_PRIVATE", "this is an age identity, which is private");
  }
  if (/^(?:ssh-|age1(?!(?:pq|tag|tagpq)1)[a-z0-9]*1)/.test(text)) {
    const message = `${shownKey(text)} is for SSH or a plugin of age`;
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  const { Encrypter } = await import("age-encryption");
  const encrypter = new Encrypter();
  try {
    encrypter.addRecipient(text);
  } catch (cause) {
    const message = `${shownKey(text)} is not an age recipient, or has a typing error`;
    throw new OcicryptError("KEY_UNRECOGNIZED", message, { cause });
  }
  return { scheme: SCHEME, thumbprint: text, wrap: (bytes) => encrypter.encrypt(bytes) };
}

/**
 * Returns the recipients of a recipients file: one public key in each line, with empty lines and
 * comments that start with `#`. Each gets a wrapped key of its own.
 *
 * @throws {@link OcicryptError} as {@link recipient}, with the number of the line
 */
export function recipients(content: string | Uint8Array): Promise<Recipient[]> {
  return inLines(content, recipient);
}

export interface AgeKeyOptions {
  /** The key's name in reports. */
  label?: string | undefined;
  /** The passphrase of an encrypted identity file. */
  password?: string | Uint8Array | undefined;
  /** Aborts the derivation of the key from the passphrase. */
  signal?: AbortSignal | undefined;
}

/**
 * Creates a key from an age identity: `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` for identities of plugins; `KEY_UNRECOGNIZED`
 */
export async function key(
  identity: string,
  { label }: Pick<AgeKeyOptions, "label"> = {},
): Promise<Key> {
  if (identity.startsWith("AGE-PLUGIN-")) {
    throw new OcicryptError("KEY_UNSUPPORTED", "the identity is for a plugin of age");
  }
  const { Decrypter, identityToRecipient } = await import("age-encryption");
  let thumbprint: string;
  try {
    thumbprint = await identityToRecipient(identity);
  } catch {
    // The reason can quote the identity.
    throw new OcicryptError("KEY_UNRECOGNIZED", "the age identity is damaged");
  }
  return {
    scheme: SCHEME,
    label,
    thumbprint,
    async unwrap(wrapped, { signal, attempts = newAttempts() } = {}) {
      for (let { length } = stanzaTypes(wrapped); length > 0; length--) {
        await takeAttempt(attempts, signal);
      }
      let isForAnother = false as boolean;
      const decrypter = new Decrypter();
      decrypter.addIdentity(identity);
      // Asked only after the identity has found no stanza of its own.
      decrypter.addIdentity({
        unwrapFileKey: () => {
          isForAnother = true;
          return null;
        },
      });
      try {
        return await decrypter.decrypt(wrapped);
      } catch (error) {
        if (isForAnother) return null;
        throw damaged("it is damaged", error);
      }
    },
    explain: () => `it is for another recipient than ${shownKey(thumbprint)}`,
  };
}

/**
 * Returns the keys of an identity file, which may be encrypted with a passphrase (`age -p`).
 *
 * @throws {@link OcicryptError} as {@link key}; `PASSWORD_MISSING`, `PASSWORD_WRONG`
 */
export async function keys(
  content: string | Uint8Array,
  { label, password, signal }: AgeKeyOptions = {},
): Promise<Key[]> {
  const make = (line: string): Promise<Key> => key(line, { label });
  const file = encryptedFile(content);
  if (file === undefined) return inLines(content, make);
  const opened = await openIdentityFile(file, password, signal);
  try {
    return await inLines(opened, make);
  } finally {
    opened.fill(0);
  }
}

/** Returns the binary age file that content is, or `undefined` for anything else. */
function encryptedFile(content: string | Uint8Array): Uint8Array | undefined {
  if (content.length > MAX_KEY_FILE_SIZE) throw unrecognized("it is too large");
  if (typeof content !== "string" && isAgeFile(content)) return content;
  const text = recoverKeyFile(content);
  if (typeof text !== "string" || !isArmouredAgeFile(text)) return undefined;
  const [block] = pemBlocks(text);
  if (block === undefined) throw unrecognized("its armour has no end");
  return decodeBlock(block);
}

async function openIdentityFile(
  content: Uint8Array,
  password: string | Uint8Array | undefined,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  if (password === undefined) {
    throw new OcicryptError("PASSWORD_MISSING", "the age identity file needs its passphrase");
  }
  const { Decrypter } = await import("age-encryption");
  let isWrong = false as boolean;
  const decrypter = new Decrypter();
  decrypter.addIdentity({
    async unwrapFileKey(stanzas: Stanza[]) {
      const fileKey = await unwrapFileKey(stanzas, password, signal);
      isWrong = fileKey === null;
      return fileKey;
    },
  });
  try {
    return await decrypter.decrypt(content);
  } catch (error) {
    if (isOcicryptError(error)) throw error;
    signal?.throwIfAborted();
    const [code, why] = isWrong
      ? (["PASSWORD_WRONG", "the passphrase does not open the age identity file"] as const)
      : (["KEY_UNRECOGNIZED", "the age identity file is damaged"] as const);
    throw new OcicryptError(code, why);
  }
}

/** Reads the lines of a recipients or identity file that are neither empty nor comments. */
async function inLines<T>(
  content: string | Uint8Array,
  read: (line: string) => Promise<T>,
): Promise<T[]> {
  if (content.length > MAX_KEY_FILE_SIZE) throw unrecognized("it is too large");
  const recovered = recoverKeyFile(content);
  const text = typeof recovered === "string" ? recovered : "";
  const found: T[] = [];
  for (const [index, line] of text.split(/\r\n|[\r\n]/).entries()) {
    const own = line.trim();
    if (own === "" || own.startsWith("#")) continue;
    if (found.length === MAX_KEYS_PER_FILE) throw unrecognized("it has too many keys");
    try {
      found.push(await read(own));
    } catch (error) {
      if (!isOcicryptError(error)) throw error;
      throw new OcicryptError(error.code, `line ${String(index + 1)}: ${error.message}`);
    }
  }
  if (found.length === 0) throw unrecognized("it has no keys");
  return found;
}

function unrecognized(why: string): OcicryptError {
  return new OcicryptError("KEY_UNRECOGNIZED", `the file of age keys cannot be used: ${why}`);
}

/** Post-quantum recipients have two thousand characters. */
function shownKey(text: string): string {
  return JSON.stringify(printable(text, 24));
}
