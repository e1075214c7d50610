import { OcicryptError } from "../../errors.js";
import { thumbprint } from "../../keys/asymmetric-key.js";
import { recoverKeyFile } from "../../keys/material.js";
import { readPublicKeys } from "../../keys/public-key.js";
import { unrecognized } from "../../keys/refusals.js";
import { recognizeKeyFile } from "./recognise.js";

/**
 * Returns the ids by which `listRecipients` can report a recipient, from its public key: the RFC
 * 7638 thumbprint and the `kid` of a JWK for JWE, the issuer and serial number or the subject key
 * identifier of a certificate for PKCS#7, and the key ids of an OpenPGP key. A JWE that was made
 * with another `kid`, or without one, cannot be recognised without the private key.
 *
 * @param content the content of a public key file in any form, or a certificate
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PRIVATE`
 */
export async function recipientKeyIds(content: string | Uint8Array): Promise<string[]> {
  const form = recognizeKeyFile(content);
  switch (form) {
    case "certificate": {
      const { pkcs7 } = await import("../pkcs7/index.js");
      return [...(await pkcs7.keyIds(content)), ...publicKeyIds(content)];
    }
    case "public key":
      return publicKeyIds(content);
    case "OpenPGP key":
      return openPgpIds(recoverKeyFile(content));
    default: {
      const message = `this is a ${form}; a public key or a certificate is needed`;
      throw new OcicryptError("KEY_IS_PRIVATE", message);
    }
  }
}

function publicKeyIds(content: string | Uint8Array): string[] {
  return readPublicKeys(content).flatMap(({ key, kid }) => {
    // Other keys have no thumbprint, and cannot be recipients.
    const own = /^(?:rsa|ec)$/.test(key.asymmetricKeyType ?? "") ? [thumbprint(key)] : [];
    return kid === undefined ? own : [...own, kid];
  });
}

async function openPgpIds(content: string | Uint8Array): Promise<string[]> {
  const { readKeys } = await import("openpgp");
  try {
    const keys =
      typeof content === "string"
        ? await readKeys({ armoredKeys: content })
        : await readKeys({ binaryKeys: content });
    return keys.flatMap((key) => key.getKeyIDs().map((id) => `0x${id.toHex()}`));
  } catch (cause) {
    throw unrecognized("its OpenPGP key is damaged", cause);
  }
}
