import { importDer, type PlatformKey } from "#engine/keys";
import type { KeyForm } from "../engine/types.js";
import { OcicryptError, unrecognizedKey } from "../errors.js";
import { MAX_KEYS_PER_FILE } from "../spec/limits.js";
import { type AsymmetricKey, requireSoundKey, tooManyKeys } from "./asymmetric-key.js";
import { derKind } from "./der.js";
import { readJwks, requireHalf } from "./jwk.js";
import { readKeyMaterial, type KeyInput } from "./material.js";
import { readOpenSshPublicKeys } from "./openssh.js";
import { decodeBlock, type PemBlock } from "./pem.js";

/**
 * Returns the public keys of a file: SPKI or PKCS#1 as PEM or DER, OpenSSH, a JWK or JWK Set, an
 * X.509 certificate (the first of a chain), or a key of Node.js or Web Cryptography.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED` (also for RSA keys with an
 *   unsafe exponent and EC keys without a named curve), `KEY_USE_FORBIDDEN`, `KEY_IS_PRIVATE`
 */
export function readPublicKeys(input: KeyInput): AsymmetricKey[] {
  const keys = parsePublicKeys(input);
  for (const { key } of keys) requireSoundKey(key);
  return keys;
}

function parsePublicKeys(input: KeyInput): AsymmetricKey[] {
  const material = readKeyMaterial(input);
  switch (material.form) {
    case "object":
      return [requireHalf(material.key, "public", isPrivate)];
    case "jwk":
      return readJwks(material.value, "public");
    case "jwe":
      throw isPrivate();
    case "pem":
      return readBlocks(material.blocks);
    case "openssh":
      return readOpenSshPublicKeys(material.text).map((key) => ({ key }));
    case "der":
      return [{ key: readDer(material.bytes) }];
  }
}

function readDer(bytes: Uint8Array): PlatformKey {
  const kind = derKind(bytes);
  switch (kind) {
    case "spki":
    case "pkcs1-public":
    case "certificate":
      return parse(bytes, kind);
    case "pkcs12":
      throw unrecognizedKey("PKCS#12 holds a private key; export the certificate from it");
    default:
      throw isPrivate();
  }
}

function readBlocks(blocks: readonly PemBlock[]): AsymmetricKey[] {
  if (blocks.some(({ label }) => label.endsWith("PRIVATE KEY"))) throw isPrivate();
  const keys = blocks.filter(({ label }) => label === "PUBLIC KEY" || label === "RSA PUBLIC KEY");
  if (keys.length > MAX_KEYS_PER_FILE) throw tooManyKeys();
  const leaf = blocks.find(({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE");
  const read = keys.length > 0 || leaf === undefined ? keys : [leaf];
  if (read.length === 0) {
    throw unrecognizedKey(`its PEM block is "${blocks[0]?.label.slice(0, 40) ?? ""}"`);
  }
  return read.map((block) => ({ key: readBlock(block) }));
}

function readBlock(block: PemBlock): PlatformKey {
  const bytes = decodeBlock(block);
  const kinds = block.label.endsWith("CERTIFICATE") ? ["certificate"] : ["spki", "pkcs1-public"];
  if (!kinds.includes(derKind(bytes) ?? "")) throw damaged();
  return readDer(bytes);
}

function parse(bytes: Uint8Array, form: KeyForm): PlatformKey {
  try {
    return importDer(bytes, form);
  } catch (cause) {
    throw damaged(cause);
  }
}

function damaged(cause?: unknown): OcicryptError {
  return unrecognizedKey("the public key or certificate is damaged", cause);
}

function isPrivate(): OcicryptError {
  return new OcicryptError("KEY_IS_PRIVATE", "this is a private key; a public key is needed");
}
