import type { Config, PrivateKey, SecretKeyPacket, SecretSubkeyPacket } from "openpgp";
import { OcicryptError } from "../../errors.js";
import { canEncrypt } from "./algorithms.js";
import type { TransferableKey } from "./key-ring.js";
import { configure, keyError, loadOpenPgp, nameOfKey, type OpenPgp } from "./openpgp.js";

type SecretPacket = SecretKeyPacket | SecretSubkeyPacket;

/** A secret key that is read and unlocked when it is first needed. */
export interface SecretKey {
  /** The key ids of the primary key and the subkeys, those that can only sign left out. */
  keyIds: readonly string[];
  /**
   * The key, with those of `keyIds` unlocked that are asked for.
   *
   * @throws {@link OcicryptError} `PASSWORD_MISSING`, `PASSWORD_WRONG`, `KEY_UNSUPPORTED`
   */
  unlock(keyIds: readonly string[]): Promise<PrivateKey>;
}

export function secretKey(key: TransferableKey, password: string | undefined): SecretKey {
  let read: Promise<PrivateKey> | undefined;
  // Each is unlocked once, however many layers are opened at the same time: that is made slow on
  // purpose.
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
  // Keys and names that are revoked still open what was made for them before. OpenPGP.js sees to
  // that for keys, and not for names.
  for (const user of key.users) user.revocationSignatures = [];
  return key;
}

/** The secret parts of those of the key ids that may decrypt. */
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
    const message = `the secret part of ${what} is not in the file, or locked in an unknown way`;
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  if (password === undefined) {
    throw new OcicryptError("PASSWORD_MISSING", `${what} is locked and needs a password`);
  }
  try {
    await packet.decrypt(password);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("Incorrect key passphrase")) {
      throw new OcicryptError("PASSWORD_WRONG", `the password does not unlock ${what}`);
    }
    throw keyError(error, what);
  }
}
