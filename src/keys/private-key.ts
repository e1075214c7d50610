import { createPrivateKey, type KeyObject, type PrivateKeyInput } from "node:crypto";
import { OcicryptError } from "../errors.js";
import { readJwks } from "./jwk.js";
import { readKeyMaterial, requireSound, unrecognized, type KeyInput } from "./material.js";
import { isEncryptedBlock, type PemBlock } from "./pem.js";
import type { AsymmetricKey } from "./material.js";

/** Of Node (node:crypto, createPrivateKey). */
const MAX_PASSWORD_SIZE = 1024;

export interface PrivateKeyOptions {
  /** For an encrypted key; of any characters, taken as UTF-8. */
  password?: string | Uint8Array | undefined;
}

/**
 * The private keys of a file: PKCS#1, PKCS#8 or SEC1 as PEM or DER, encrypted PKCS#8, PEM with a
 * DEK-Info header, or a JWK or JWK Set.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `PASSWORD_MISSING`, `PASSWORD_WRONG`
 */
export function readPrivateKeys(input: KeyInput, options: PrivateKeyOptions = {}): AsymmetricKey[] {
  const material = readKeyMaterial(input);
  if (material.form === "jwk") return readJwks(material.value, "private");
  if (material.form === "pem") return readBlocks(material.blocks, options);
  const { kind, bytes } = material;
  const der = { key: Buffer.from(bytes), format: "der" } as const;
  switch (kind) {
    case "pkcs8":
      return [{ key: parse({ ...der, type: "pkcs8" }) }];
    case "pkcs1-private":
      return [{ key: parse({ ...der, type: "pkcs1" }) }];
    case "sec1":
      return [{ key: parse({ ...der, type: "sec1" }) }];
    case "encrypted-pkcs8":
      return [{ key: parseEncrypted({ ...der, type: "pkcs8" }, options) }];
    case "pkcs12":
      throw new OcicryptError(
        "KEY_UNSUPPORTED",
        "this is a PKCS#12 file; keysFromFiles of ocicrypt/keys opens it",
      );
    default:
      throw isPublic(kind === "certificate" ? "certificate" : "public key");
  }
}

function readBlocks(blocks: readonly PemBlock[], options: PrivateKeyOptions): AsymmetricKey[] {
  const keys = blocks.filter(({ label }) => /^(?:(?:RSA|EC|ENCRYPTED) )?PRIVATE KEY$/.test(label));
  if (keys.length > 0) {
    return keys.map((block) => {
      const pem = { key: block.text, format: "pem" } as const;
      return { key: isEncryptedBlock(block) ? parseEncrypted(pem, options) : parse(pem) };
    });
  }
  const labels = blocks.map(({ label }) => label);
  if (labels.some((label) => label.endsWith("PUBLIC KEY"))) throw isPublic("public key");
  if (labels.some((label) => label.endsWith("CERTIFICATE"))) throw isPublic("certificate");
  throw unrecognized(`its PEM block is "${labels[0]?.slice(0, 40) ?? ""}"`);
}

function parse(input: PrivateKeyInput): KeyObject {
  try {
    return requireSound(createPrivateKey(input));
  } catch (cause) {
    throw new OcicryptError("KEY_UNRECOGNIZED", "the private key is damaged", { cause });
  }
}

function parseEncrypted(input: PrivateKeyInput, { password }: PrivateKeyOptions): KeyObject {
  if (password === undefined) {
    throw new OcicryptError(
      "PASSWORD_MISSING",
      "the private key is encrypted and needs a password",
    );
  }
  const passphrase = typeof password === "string" ? password : Buffer.from(password);
  if (Buffer.byteLength(passphrase) > MAX_PASSWORD_SIZE) {
    throw new OcicryptError("KEY_UNSUPPORTED", "passwords of more than 1024 bytes can not be used");
  }
  let key: KeyObject;
  try {
    key = createPrivateKey({ ...input, passphrase });
  } catch (cause) {
    if (isUnsupportedCipher(cause) || /^DEK-Info: *DES-CBC,/m.test(input.key.toString("latin1"))) {
      throw new OcicryptError(
        "KEY_UNSUPPORTED",
        "the private key is encrypted with a cipher that OpenSSL 3 does not offer any more",
        { cause },
      );
    }
    throw new OcicryptError("PASSWORD_WRONG", "the password does not open the private key", {
      cause,
    });
  }
  return requireSound(key);
}

function isUnsupportedCipher(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_OSSL_EVP_UNSUPPORTED";
}

function isPublic(what: string): OcicryptError {
  return new OcicryptError("KEY_IS_PUBLIC", `this is a ${what}; a private key is needed`);
}
