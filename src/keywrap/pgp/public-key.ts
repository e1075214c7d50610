import type { AlgorithmInfo, Config, KeyID, PublicKey, Subkey } from "openpgp";
import { OcicryptError } from "../../errors.js";
import type { KeyIdentity } from "./key-ring.js";
import type { TransferableKey } from "./key-ring.js";
import { matchesIdentity, matchesUserId, type RecipientName } from "./name.js";
import { configure, keyError, loadOpenPgp, MIN_BITS, nameOfKey, type OpenPgp } from "./openpgp.js";

/** A key that can be encrypted to now, and with which cipher. */
export interface UsableKey {
  key: PublicKey;
  /** Of its subkey that is encrypted to, or its own. */
  encryptionKeyId: KeyID;
  cipher: "aes256" | "aes128";
}

/**
 * The one key that a name means and that can be used now, out of all that bear the name.
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
  const message = `several OpenPGP keys are of ${JSON.stringify(name.text)}; name one by its fingerprint: ${fingerprints}`;
  throw new OcicryptError("RECIPIENT_AMBIGUOUS", message);
}

/** One key may be there several times, and only one of the copies revoked. */
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
 * The subkey that is named, or else the one that gpg would take. Whoever is named by a subkey must
 * get nothing else: anybody can sign that a subkey of somebody else belongs to their own key.
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

/** A key is of who it says only in user ids that it has signed and not revoked. */
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

/** OpenPGP.js looks at RSA alone. */
function requireStrength({ algorithm, bits = MIN_BITS }: AlgorithmInfo): void {
  if (bits >= MIN_BITS) return;
  throw new Error(`its ${algorithm} key has ${String(bits)} bits, less than ${String(MIN_BITS)}`);
}

/** RFC 9580 section 5.2.3.14: AES-128 is implied, all else the key has to list. */
async function preferredCipher(
  { enums }: OpenPgp,
  key: PublicKey,
  config: Config,
): Promise<UsableKey["cipher"]> {
  const { selfCertification } = await key.getPrimaryUser(new Date(), undefined, config);
  const listed = selfCertification.preferredSymmetricAlgorithms ?? [];
  return listed.includes(enums.symmetric.aes256) ? "aes256" : "aes128";
}
