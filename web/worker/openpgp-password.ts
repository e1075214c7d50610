import { OcicryptError } from "../../src/errors.js";
import { recoverKeyFile } from "../../src/keys/material.js";
import type { KeyFile } from "../../src/keywrap/key-files/index.js";
import { loadOpenPgp } from "../../src/keywrap/pgp/openpgp.js";

/**
 * Checks the password of an OpenPGP key, which the library needs only when it unwraps. A file without
 * secret keys, or one that cannot be read, passes.
 *
 * @throws {@link OcicryptError} `PASSWORD_MISSING`, `PASSWORD_WRONG`
 */
export async function checkPassword({ content, password }: KeyFile): Promise<void> {
  const { readPrivateKeys } = await loadOpenPgp();
  const ring = recoverKeyFile(content);
  const keys = await (
    typeof ring === "string"
      ? readPrivateKeys({ armoredKeys: ring })
      : readPrivateKeys({ binaryKeys: ring })
  ).catch(() => []);
  const locked = keys
    .flatMap((key) => key.getKeys())
    .map(({ keyPacket }) => keyPacket)
    .filter((packet) => "isDummy" in packet)
    .filter((packet) => !packet.isDecrypted() && !packet.isDummy());
  if (locked.length === 0) return;
  if (password === undefined) {
    throw new OcicryptError("PASSWORD_MISSING", "the OpenPGP key is encrypted");
  }
  const text = typeof password === "string" ? password : new TextDecoder().decode(password);
  for (const packet of locked) {
    try {
      await packet.decrypt(text);
      return;
    } catch {
      // The keys of a file may have passwords of their own.
    }
  }
  throw new OcicryptError("PASSWORD_WRONG", "the password does not open the OpenPGP key");
}
