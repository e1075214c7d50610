import { randomBytes } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import type { Recipient } from "../types.js";
import { exportPublicKeys } from "./gpg.js";
import { readKeyRing, type PgpKeyInput, type TransferableKey } from "./key-ring.js";
import { matchesIdentity, matchesUserId, parseName, type RecipientName } from "./name.js";
import { configure, loadOpenPgp } from "./openpgp.js";
import { chooseKey } from "./public-key.js";

export interface PgpRecipientOptions {
  /** The public keys to search: one, several or a ring, binary or armored; by default gpg's ring. */
  keyRing?: PgpKeyInput | undefined;
}

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
  const exported = await exportPublicKeys(name, signal);
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
