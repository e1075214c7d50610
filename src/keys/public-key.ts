import { createPublicKey, X509Certificate, type KeyObject } from "node:crypto";
import { OcicryptError } from "../errors.js";
import { readJwks } from "./jwk.js";
import { readKeyMaterial, unrecognized, type KeyInput } from "./material.js";
import type { PemBlock } from "./pem.js";
import type { AsymmetricKey } from "./material.js";

/**
 * The public keys of a file: SPKI or PKCS#1 as PEM or DER, a JWK or JWK Set, or an X.509
 * certificate, of a chain the first one.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PRIVATE`
 */
export function readPublicKeys(input: KeyInput): AsymmetricKey[] {
  const material = readKeyMaterial(input);
  if (material.form === "jwk") return readJwks(material.value, "public");
  if (material.form === "pem") return readBlocks(material.blocks);
  const { kind, bytes } = material;
  const key = Buffer.from(bytes);
  switch (kind) {
    case "spki":
      return [{ key: parse(() => createPublicKey({ key, format: "der", type: "spki" })) }];
    case "pkcs1-public":
      return [{ key: parse(() => createPublicKey({ key, format: "der", type: "pkcs1" })) }];
    case "certificate":
      return [{ key: parse(() => new X509Certificate(key).publicKey) }];
    case "pkcs12":
      throw unrecognized("PKCS#12 holds a private key; export the certificate from it");
    default:
      throw isPrivate();
  }
}

function readBlocks(blocks: readonly PemBlock[]): AsymmetricKey[] {
  if (blocks.some(({ label }) => label.endsWith("PRIVATE KEY"))) throw isPrivate();
  const keys = blocks.filter(({ label }) => label === "PUBLIC KEY" || label === "RSA PUBLIC KEY");
  if (keys.length > 0) return keys.map(({ text }) => ({ key: parse(() => createPublicKey(text)) }));
  const leaf = blocks.find(({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE");
  if (leaf !== undefined) return [{ key: parse(() => new X509Certificate(leaf.text).publicKey) }];
  throw unrecognized(`its PEM block is "${blocks[0]?.label.slice(0, 40) ?? ""}"`);
}

function parse(read: () => KeyObject): KeyObject {
  try {
    return read();
  } catch (cause) {
    throw new OcicryptError("KEY_UNRECOGNIZED", "the public key or certificate is damaged", {
      cause,
    });
  }
}

function isPrivate(): OcicryptError {
  return new OcicryptError("KEY_IS_PRIVATE", "this is a private key; a public one is needed");
}
