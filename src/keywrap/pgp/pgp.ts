import { toBase64url, toHex } from "#engine/bytes";
import { exportPublicKeys } from "#engine/gpg";
import { randomBytes } from "#engine/hash";
import { importJwk } from "#engine/keys";
import type { AlgorithmInfo, Config, KeyID, PublicKey, Subkey } from "openpgp";
import { OcicryptError } from "../../errors.js";
import { requireSoundKey } from "../../keys/asymmetric-key.js";
import type { Recipient } from "../types.js";
import type { PgpRecipientOptions } from "./key.js";
import {
  type KeyIdentity,
  MAX_RING_SIZE,
  matchesIdentity,
  matchesUserId,
  parseName,
  type PgpKeyInput,
  readKeyRing,
  type RecipientName,
  type TransferableKey,
} from "./key-ring.js";
import { configure, keyError, loadOpenPgp, MIN_BITS, nameOfKey, type OpenPgp } from "./openpgp.js";

export { key } from "./key.js";

/**
 * Creates a recipient with an OpenPGP key. The layer's key is wrapped in a separate OpenPGP message,
 * in the form that GnuPG 2.2 and all versions of ocicrypt read.
 *
 * Like gpg, this prefers an encryption subkey to the primary key and a newer subkey to an older one.
 * Unusable keys (expired, revoked, too weak) are skipped if the name matches another key. If several
 * keys are usable, gpg would choose the most trusted or the newest; this function rejects the name
 * instead, because anyone can create a newer key with the same name.
 *
 * @param name the exact name, email address or full text of a user id; or a key id (16 hex digits) or
 *   fingerprint, with or without `0x`. The id of a subkey selects only this subkey, as with gpg's
 *   exclamation mark
 * @param options `keyRing`; without it, gpg is called when the key is wrapped
 * @throws {@link OcicryptError} at once for a given `keyRing`: `KEY_UNRECOGNIZED`,
 *   `KEY_IS_PRIVATE`, `RECIPIENT_NOT_FOUND`
 * @throws {@link OcicryptError} when wrapping: `RECIPIENT_NOT_FOUND`, `RECIPIENT_AMBIGUOUS`,
 *   `KEY_EXPIRED`, `KEY_REVOKED`, `KEY_UNSUPPORTED`, `GPG_NOT_FOUND`, `GPG_FAILED`
 * @throws {TypeError} for an empty name
 */
export function recipient(name: string, { keyRing }: PgpRecipientOptions = {}): Recipient {
  const parsed = parseName(name);
  const given = keyRing === undefined ? undefined : findKeys(readPublicRing(keyRing), parsed);
  return {
    scheme: "pgp",
    async wrap(privateOptions, { signal } = {}) {
      const keys = given ?? findKeys(await readGpgRing(parsed, signal), parsed);
      return await encryptTo(keys, parsed, privateOptions);
    },
  };
}

function readPublicRing(keyRing: PgpKeyInput): TransferableKey[] {
  const ring = readKeyRing(keyRing);
  if (ring.some(({ isSecret }) => isSecret)) {
    throw new OcicryptError(
      "KEY_IS_PRIVATE",
      "the key ring contains secret keys; a public key is needed",
    );
  }
  return ring;
}

async function readGpgRing(
  name: RecipientName,
  signal: AbortSignal | undefined,
): Promise<TransferableKey[]> {
  // After an asterisk, gpg takes the text as part of a user id, not as search syntax.
  const pattern = name.hex === undefined ? `*${name.text}` : `0x${name.hex}`;
  const exported = await exportPublicKeys(pattern, { maxSize: MAX_RING_SIZE, signal });
  return exported.byteLength === 0 ? [] : readPublicRing(exported);
}

function findKeys(ring: readonly TransferableKey[], name: RecipientName): TransferableKey[] {
  const found = ring.filter(
    ({ primary, subkeys, userIds }) =>
      [primary, ...subkeys].some((identity) => matchesIdentity(identity, name)) ||
      userIds.some((userId) => matchesUserId(userId, name)),
  );
  if (found.length > 0) return found;
  const message = `no OpenPGP key in the key ring matches ${JSON.stringify(name.text)}`;
  throw new OcicryptError("RECIPIENT_NOT_FOUND", message);
}

async function encryptTo(
  keys: readonly TransferableKey[],
  name: RecipientName,
  privateOptions: Uint8Array,
): Promise<Uint8Array> {
  const openpgp = await loadOpenPgp();
  const config = configure(openpgp);
  const { key, encryptionKeyId, cipher } = await chooseKey(keys, name);
  const sessionKey = { data: randomBytes(cipher === "aes256" ? 32 : 16), algorithm: cipher };
  try {
    return (await openpgp.encrypt({
      message: await openpgp.createMessage({ binary: privateOptions, date: new Date(0) }),
      encryptionKeys: key,
      encryptionKeyIDs: encryptionKeyId,
      // A session key without an AEAD algorithm makes OpenPGP.js write version 1 of the protected
      // data. Otherwise it follows the key's features, and neither ocicrypt before 1.3.2 nor GnuPG
      // reads version 2.
      sessionKey,
      format: "binary",
      config,
    })) as Uint8Array;
  } finally {
    sessionKey.data.fill(0);
  }
}

/** A key that is usable for encryption now, and the cipher to use. */
interface UsableKey {
  key: PublicKey;
  /** The key id of the encryption subkey or of the primary key. */
  encryptionKeyId: KeyID;
  cipher: "aes256" | "aes128";
}

/**
 * Chooses the only currently usable key among all keys that a name matches.
 *
 * @throws {@link OcicryptError} `RECIPIENT_AMBIGUOUS`, `KEY_EXPIRED`, `KEY_REVOKED`,
 *   `KEY_UNSUPPORTED`
 */
async function chooseKey(
  candidates: readonly TransferableKey[],
  name: RecipientName,
): Promise<UsableKey> {
  const usable: UsableKey[] = [];
  let refusal: OcicryptError | undefined;
  for (const copies of groupByFingerprint(candidates)) {
    try {
      usable.push(await requireUsable(copies, name));
    } catch (error) {
      if (!(error instanceof OcicryptError)) throw error;
      refusal ??= error;
    }
  }
  const [first, ...more] = usable;
  if (first !== undefined && more.length === 0) return first;
  if (first === undefined && refusal !== undefined) throw refusal;
  const fingerprints = usable.map(({ key }) => key.getFingerprint().toUpperCase()).join(", ");
  const message = `several OpenPGP keys match ${JSON.stringify(name.text)}; use a fingerprint instead: ${fingerprints}`;
  throw new OcicryptError("RECIPIENT_AMBIGUOUS", message);
}

/** A key may occur several times, with only one copy revoked. */
function groupByFingerprint(keys: readonly TransferableKey[]): TransferableKey[][] {
  const groups = new Map<unknown, TransferableKey[]>();
  for (const key of keys) {
    const id = key.primary?.fingerprint ?? key;
    groups.set(id, [...(groups.get(id) ?? []), key]);
  }
  return [...groups.values()];
}

async function requireUsable(
  copies: readonly TransferableKey[],
  name: RecipientName,
): Promise<UsableKey> {
  const what = nameOfKey(copies[0]?.primary?.keyId);
  const openpgp = await loadOpenPgp();
  const config = configure(openpgp);
  try {
    const key = await mergeCopies(openpgp, copies, config);
    const subkey = copies
      .flatMap(({ subkeys }) => subkeys)
      .find((identity) => matchesIdentity(identity, name));
    if (subkey === undefined && !matchesIdentity(copies[0]?.primary, name)) {
      await requireValidUserId(key, name, what, config);
    }
    const encryptionKey = await findEncryptionKey(key, subkey, config);
    requireStrength(encryptionKey.getAlgorithmInfo());
    requireSound(encryptionKey.keyPacket.publicParams);
    const cipher = await preferredCipher(openpgp, key, config);
    return { key, encryptionKeyId: encryptionKey.getKeyID(), cipher };
  } catch (error) {
    throw keyError(error, what);
  }
}

async function mergeCopies(
  openpgp: OpenPgp,
  copies: readonly TransferableKey[],
  config: Config,
): Promise<PublicKey> {
  let merged: PublicKey | undefined;
  for (const { bytes } of copies) {
    const key = (await openpgp.readKey({ binaryKey: bytes, config })).toPublic();
    merged = merged === undefined ? key : await merged.update(key, new Date(), config);
  }
  if (merged === undefined) throw new TypeError("no key");
  return merged;
}

/**
 * Finds the named subkey, or else the one that gpg would choose. A recipient named by a subkey must
 * get exactly that subkey: anyone can claim another person's subkey for their own key.
 */
async function findEncryptionKey(
  key: PublicKey,
  named: KeyIdentity | undefined,
  config: Config,
): Promise<PublicKey | Subkey> {
  const keyId = key.subkeys
    .find((subkey) => subkey.getFingerprint() === named?.fingerprint)
    ?.getKeyID();
  const found = await key.getEncryptionKey(keyId, new Date(), undefined, config);
  if (named !== undefined && found.getFingerprint() !== named.fingerprint) {
    throw new Error(`its subkey 0x${named.keyId} cannot be read`);
  }
  return found;
}

/** A user id counts only if the key has signed it and not revoked it. */
async function requireValidUserId(
  key: PublicKey,
  name: RecipientName,
  what: string,
  config: Config,
): Promise<void> {
  let refusal: unknown = new Error("its user id cannot be read");
  for (const user of key.users) {
    if (user.userID === null || !matchesUserId(user.userID.userID, name)) continue;
    try {
      await user.verify(new Date(), config);
      return;
    } catch (error) {
      refusal = error;
    }
  }
  throw keyError(refusal, `the user id ${JSON.stringify(name.text)} of ${what}`);
}

/** OpenPGP.js checks the size of RSA keys only. */
function requireStrength({ algorithm, bits = MIN_BITS }: AlgorithmInfo): void {
  if (bits >= MIN_BITS) return;
  throw new Error(`its ${algorithm} key has ${String(bits)} bits, fewer than ${String(MIN_BITS)}`);
}

/** The numbers of a public key of any algorithm; RFC 9580 sections 5.5.5.1 and 5.5.5.3. */
type PublicNumbers = Partial<Record<"n" | "e" | "p" | "g" | "y", Uint8Array>>;

/** Rejects numbers with which anyone could read what is encrypted; OpenPGP.js accepts them. */
function requireSound(numbers: object | null): void {
  const { n, e, p, g, y } = (numbers ?? {}) as PublicNumbers;
  if (n !== undefined && e !== undefined) {
    const jwk = { kty: "RSA", n: toBase64url(n), e: toBase64url(e) };
    requireSoundKey(importJwk(jwk, "public"));
  }
  if (p === undefined || g === undefined || y === undefined) return;
  const [modulus, ...others] = [p, g, y].map((bytes) => BigInt(`0x0${toHex(bytes)}`)); // prettier-ignore
  if (modulus === undefined || others.every((each) => each > 1n && each < modulus - 1n)) return;
  throw new Error("its ElGamal key hides nothing");
}

/** RFC 9580 section 5.2.3.14: AES-128 is implied, a key must list every other cipher. */
async function preferredCipher(
  { enums }: OpenPgp,
  key: PublicKey,
  config: Config,
): Promise<UsableKey["cipher"]> {
  const { selfCertification } = await key.getPrimaryUser(new Date(), undefined, config);
  const listed = selfCertification.preferredSymmetricAlgorithms ?? [];
  return listed.includes(enums.symmetric.aes256) ? "aes256" : "aes128";
}
