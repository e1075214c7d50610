import type { AlgorithmInfo, Config, KeyID, PublicKey, Subkey } from "openpgp";
import { OcicryptError } from "../../errors.js";
import type { KeyIdentity } from "./key-ring.js";
import type { TransferableKey } from "./key-ring.js";
import { matchesIdentity, matchesUserId, type RecipientName } from "./name.js";
import { configure, keyError, loadOpenPgp, MIN_BITS, nameOfKey, type OpenPgp } from "./openpgp.js";

/** A key that is usable for encryption now, and the cipher to use. */
export interface UsableKey {
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
export async function chooseKey(
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
