import { randomBytes } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import type { Recipient } from "../types.js";
import { exportPublicKeys } from "./gpg.js";
import { readKeyRing, type PgpKeyInput, type TransferableKey } from "./key-ring.js";
import { matchesIdentity, matchesUserId, parseName, type RecipientName } from "./name.js";
import { configure, loadOpenPgp } from "./openpgp.js";
import { chooseKey } from "./public-key.js";

export interface PgpRecipientOptions {
  /** The public keys to look into: one, several or a ring, binary or armoured. Default: gpg's. */
  keyRing?: PgpKeyInput | undefined;
}

/**
 * A recipient with an OpenPGP key. The layer's key is wrapped as an OpenPGP message of its own,
 * in the one form that GnuPG 2.2 and all versions of ocicrypt read.
 *
 * A subkey that encrypts is preferred to the primary key, and a newer one to an older one, as gpg
 * does. Keys that cannot be used (expired, revoked, too weak) are passed over if the name means
 * another one too. Where several can be used, gpg would take the one it trusts most or else the
 * newest; this refuses to choose, because anybody can make a newer key with the same name.
 *
 * @param name The exact name, e-mail or whole text of a user id; or a key id (16 hex digits) or
 *   fingerprint, with or without `0x`. That of a subkey means this subkey alone, as it does for
 *   gpg with an exclamation mark.
 * @param options `keyRing`, without which gpg is asked when the key is wrapped
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
      "the key ring holds secret keys; a public one is needed",
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
  const message = `no OpenPGP key in the key ring is of ${JSON.stringify(name.text)}`;
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
      // A session key without an AEAD algorithm is what makes OpenPGP.js write version 1 of the
      // protected data; it else goes by the key's features, and neither ocicrypt before 1.3.2
      // nor GnuPG reads version 2.
      sessionKey,
      format: "binary",
      config,
    })) as Uint8Array;
  } finally {
    sessionKey.data.fill(0);
  }
}
