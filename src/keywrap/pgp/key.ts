import { concat } from "#engine/bytes";
import type { Config, PrivateKey, SecretKeyPacket, SecretSubkeyPacket } from "openpgp";
import { OcicryptError } from "../../errors.js";
import type { Key } from "../types.js";
import {
  algorithmName,
  canEncrypt,
  configure,
  loadOpenPgp,
  keyError,
  nameOfKey,
  type OpenPgp,
} from "./openpgp.js";
import { readKeyRing, type PgpKeyInput, type TransferableKey } from "./key-ring.js";
import { MAX_ARGON2_MEMORY_EXPONENT, MAX_ARGON2_WORK } from "../../spec/limits.js";
import { parseMessage, type PgpMessage, type SessionKeyPacket } from "./message.js";

export interface PgpRecipientOptions {
  /** The public keys to search: one, several or a ring, binary or armored; by default gpg's ring. */
  keyRing?: PgpKeyInput | undefined;
}

export interface PgpKeyOptions {
  /** The password of locked keys, in UTF-8. */
  password?: string | Uint8Array | undefined;
  /** The key's name in reports. */
  label?: string | undefined;
}

/** A message with more session keys for one key is meant to waste the reader's time. */
const MAX_ATTEMPTS = 32;

/**
 * Creates one key from the secret keys of a file. Each secret key is tried, also on hidden
 * recipients. Expired and revoked keys still open what was wrapped for them.
 *
 * A missing or wrong password is reported only when a wrapped key needs it.
 *
 * @param secretKeys one key, several or a ring, as `gpg --export-secret-keys` writes them, binary
 *   or armored
 * @throws {@link OcicryptError} at once: `KEY_UNRECOGNIZED`, `KEY_IS_PUBLIC`, `KEY_UNSUPPORTED`
 * @throws {@link OcicryptError} when unwrapping: `PASSWORD_MISSING`, `PASSWORD_WRONG`,
 *   `KEY_UNSUPPORTED`, `WRAPPED_KEY_INVALID`, `WRAPPED_KEY_UNSUPPORTED`
 * @throws {TypeError} for a password that is not UTF-8
 */
export function key(secretKeys: PgpKeyInput, options: PgpKeyOptions = {}): Key {
  const { password, label } = options;
  const keys = readSecretKeys(secretKeys, decodePassword(password));
  return {
    scheme: "pgp",
    label,
    async unwrap(wrapped, { signal } = {}) {
      signal?.throwIfAborted();
      return await unwrap(keys, parseMessage(wrapped));
    },
    explain: (wrapped) => explain(keys, parseMessage(wrapped)),
  };
}

function readSecretKeys(input: PgpKeyInput, password: string | undefined): SecretKey[] {
  const ring = readKeyRing(input).filter(({ isSecret }) => isSecret);
  if (ring.length === 0) {
    throw new OcicryptError("KEY_IS_PUBLIC", "this OpenPGP key is public; a secret key is needed");
  }
  const keys = ring.map((each) => secretKey(each, password));
  if (keys.every(({ keyIds }) => keyIds.length === 0)) {
    const message = "no OpenPGP key in the file has a version and algorithm that can decrypt";
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  return keys;
}

function decodePassword(password: string | Uint8Array | undefined): string | undefined {
  if (!(password instanceof Uint8Array)) return password;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(password);
  } catch {
    throw new TypeError("the password of an OpenPGP key must be UTF-8");
  }
}

async function unwrap(keys: readonly SecretKey[], message: PgpMessage): Promise<Uint8Array | null> {
  const hidden = message.sessionKeys.filter(({ keyId }) => keyId === undefined);
  let failure: unknown;
  for (const each of keys) {
    const named = message.sessionKeys.filter(({ keyId = "" }) => each.keyIds.includes(keyId));
    try {
      if (named.length > 0) return await openNamed(each, named, message);
      const opened = await openHidden(each, hidden, message);
      if (opened !== null) return opened;
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure instanceof Error) throw failure;
  return null;
}

async function openNamed(
  key: SecretKey,
  named: readonly SessionKeyPacket[],
  message: PgpMessage,
): Promise<Uint8Array> {
  const usable = named.filter(({ algorithm }) => canEncrypt(algorithm));
  if (usable.length === 0) {
    const needs = algorithmName(named[0]?.algorithm ?? 0);
    throw new OcicryptError(
      "WRAPPED_KEY_UNSUPPORTED",
      `an OpenPGP message uses ${needs}, which is not supported`,
    );
  }
  const keyIds = usable.map(({ keyId = "" }) => keyId);
  const opened = await decrypt(key, keyIds, usable, message);
  if (opened !== null) return opened;
  // The reason stays hidden: whether padding, checksum or content is wrong would be an oracle.
  throw new OcicryptError("WRAPPED_KEY_INVALID", "an OpenPGP message for this key is damaged");
}

async function openHidden(
  key: SecretKey,
  hidden: readonly SessionKeyPacket[],
  message: PgpMessage,
): Promise<Uint8Array | null> {
  const usable = hidden.filter(({ algorithm }) => canEncrypt(algorithm));
  if (usable.length === 0 || key.keyIds.length === 0) return null;
  return await decrypt(key, key.keyIds, usable, message);
}

async function decrypt(
  key: SecretKey,
  keyIds: readonly string[],
  sessionKeys: readonly SessionKeyPacket[],
  { data }: PgpMessage,
): Promise<Uint8Array | null> {
  if (sessionKeys.length > MAX_ATTEMPTS) {
    throw new OcicryptError("WRAPPED_KEY_INVALID", "an OpenPGP message has too many recipients");
  }
  const decryptionKeys = await key.unlock(keyIds);
  const openpgp = await loadOpenPgp();
  const config = configure(openpgp);
  // Session keys of other recipients are left out: they may be damaged or of unknown algorithms.
  const binaryMessage = concat([...sessionKeys.map(({ raw }) => raw), data.raw]);
  try {
    const message = await openpgp.readMessage({ binaryMessage, config });
    const decrypted = await openpgp.decrypt({ message, decryptionKeys, format: "binary", config });
    return decrypted.data as Uint8Array;
  } catch {
    return null;
  }
}

function explain(keys: readonly SecretKey[], { sessionKeys }: PgpMessage): string {
  const ours = keys.flatMap(({ keyIds }) => keyIds);
  const needs = sessionKeys.map(({ algorithm, keyId }) =>
    keyId === undefined
      ? `a hidden ${algorithmName(algorithm)} recipient`
      : `${algorithmName(algorithm)} key 0x${keyId}`,
  );
  const has = ours.map((keyId) => `0x${keyId}`).join(", ");
  return `it is for ${needs.join(", ")}; the given key is ${has}`;
}

type SecretPacket = SecretKeyPacket | SecretSubkeyPacket;

/** A secret key, read and unlocked on first use. */
interface SecretKey {
  /** The key ids of the primary key and the subkeys, except those that can only sign. */
  keyIds: readonly string[];
  /**
   * Returns the key, with the given key ids unlocked.
   *
   * @throws {@link OcicryptError} `PASSWORD_MISSING`, `PASSWORD_WRONG`, `KEY_UNSUPPORTED`
   */
  unlock(keyIds: readonly string[]): Promise<PrivateKey>;
}

function secretKey(key: TransferableKey, password: string | undefined): SecretKey {
  let read: Promise<PrivateKey> | undefined;
  // Each key is unlocked once for any number of concurrent layers: unlocking is slow by design.
  const unlocked = new Map<string, Promise<void>>();
  return {
    keyIds: [key.primary, ...key.subkeys]
      .filter((identity) => identity !== undefined)
      .filter(({ algorithm }) => canEncrypt(algorithm))
      .map(({ keyId }) => keyId),
    async unlock(keyIds) {
      const openpgp = await loadOpenPgp();
      const config = configure(openpgp);
      read ??= readSecretKey(openpgp, key, config);
      const privateKey = await read;
      for (const { keyId, packet } of await decryptionPackets(privateKey, keyIds, config)) {
        const unlocking = unlocked.get(keyId) ?? unlockPacket(packet, keyId, password);
        unlocked.set(keyId, unlocking);
        await unlocking;
      }
      return privateKey;
    },
  };
}

async function readSecretKey(
  openpgp: OpenPgp,
  { bytes, primary }: TransferableKey,
  config: Config,
): Promise<PrivateKey> {
  let key: PrivateKey;
  try {
    key = await openpgp.readPrivateKey({ binaryKey: bytes, config });
  } catch (error) {
    throw keyError(error, nameOfKey(primary?.keyId));
  }
  // Keys whose key or user id is revoked still open earlier messages. OpenPGP.js allows that only
  // for revoked keys.
  for (const user of key.users) user.revocationSignatures = [];
  return key;
}

/** The secret packets of the given key ids that may decrypt. */
async function decryptionPackets(
  key: PrivateKey,
  keyIds: readonly string[],
  config: Config,
): Promise<{ keyId: string; packet: SecretPacket }[]> {
  try {
    const all = await key.getDecryptionKeys(undefined, null, undefined, config);
    return all
      .map((each) => ({
        keyId: each.getKeyID().toHex(),
        packet: each.keyPacket as SecretPacket,
      }))
      .filter(({ keyId }) => keyIds.includes(keyId));
  } catch (error) {
    throw keyError(error, nameOfKey(keyIds[0]));
  }
}

async function unlockPacket(
  packet: SecretPacket,
  keyId: string,
  password: string | undefined,
): Promise<void> {
  if (packet.isDecrypted()) return;
  const what = nameOfKey(keyId);
  if (packet.isMissingSecretKeyMaterial()) {
    const message = `the secret part of ${what} is missing from the file or locked in an unknown way`;
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  if (password === undefined) {
    throw new OcicryptError("PASSWORD_MISSING", `${what} is locked and needs a password`);
  }
  requireBearable(packet, what);
  try {
    await packet.decrypt(password);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("Incorrect key passphrase")) {
      throw new OcicryptError("PASSWORD_WRONG", `the password does not unlock ${what}`);
    }
    throw keyError(error, what);
  }
}

/**
 * OpenPGP.js derives keys by Argon2 (RFC 9580 section 3.7.1.4) at once, with up to 255 passes over
 * gigabytes.
 */
function requireBearable(packet: SecretPacket, what: string): void {
  const { s2k } = packet as { s2k?: { type?: string; t?: number; encodedM?: number } | null };
  if (s2k?.type !== "argon2") return;
  const { t: passes = Infinity, encodedM: exponent = Infinity } = s2k;
  if (exponent <= MAX_ARGON2_MEMORY_EXPONENT && passes * 2 ** exponent <= MAX_ARGON2_WORK) return;
  const message = `${what} is locked with more passes or memory of Argon2 than are allowed`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}
