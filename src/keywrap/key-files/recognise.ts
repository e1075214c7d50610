import { isBinaryOpenPgp, isPkcs12InBer, recoverKeyFile } from "../../keys/key-text.js";
import { readKeyMaterial, type KeyMaterial } from "../../keys/material.js";
import { unrecognized } from "../../keys/refusals.js";
import { MAX_KEY_FILE_SIZE } from "../../spec/limits.js";

/** The kinds of key files. */
export type KeyFileForm =
  | "private key"
  | "public key"
  | "certificate"
  | "OpenPGP key"
  | "PKCS#11 key file"
  | "PKCS#12 file"
  | "Kubernetes Secret";

/**
 * Recognises a key file by its content. A file with a private key and certificates is a private
 * key.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function recognizeKeyFile(content: string | Uint8Array): KeyFileForm {
  if (content.length > MAX_KEY_FILE_SIZE) throw unrecognized("it is larger than any key");
  const recovered = recoverKeyFile(content);
  if (typeof recovered === "string") {
    if (recovered.includes("-----BEGIN PGP ")) return "OpenPGP key";
    if (isKubernetesSecret(recovered)) return "Kubernetes Secret";
    if (isPkcs11KeyFile(recovered)) return "PKCS#11 key file";
  } else if (isBinaryOpenPgp(recovered)) {
    return "OpenPGP key";
  } else if (isPkcs12InBer(recovered)) {
    return "PKCS#12 file";
  }
  return formOf(readKeyMaterial(recovered));
}

function formOf(material: KeyMaterial): KeyFileForm {
  switch (material.form) {
    case "pem":
      return formOfPem(material.blocks.map(({ label }) => label));
    case "jwk":
      return isPrivateJwk(material.value) ? "private key" : "public key";
    case "openssh":
      return "public key";
    case "der":
      if (material.kind === "pkcs12") return "PKCS#12 file";
      if (material.kind === "certificate") return "certificate";
      return /^(?:spki|pkcs1-public)$/.test(material.kind) ? "public key" : "private key";
    default:
      return "private key";
  }
}

function formOfPem(labels: readonly string[]): KeyFileForm {
  if (labels.some((label) => label.endsWith("PRIVATE KEY"))) return "private key";
  if (labels.some((label) => label.endsWith("CERTIFICATE"))) return "certificate";
  if (labels.some((label) => label.endsWith("PUBLIC KEY"))) return "public key";
  throw unrecognized(`its PEM block is "${labels[0]?.slice(0, 40) ?? ""}"`);
}

function isPrivateJwk(value: Readonly<Record<string, unknown>>): boolean {
  const keys = Array.isArray(value.keys) ? (value.keys as unknown[]) : [value];
  return keys.some((key) => typeof key === "object" && key !== null && "d" in key);
}

/** Line by line, as the space before a name must not be searched again for each of its lines. */
function isPkcs11KeyFile(text: string): boolean {
  return !text.includes("-----BEGIN ") && /^[ \t]*pkcs11[ \t]*:/m.test(text);
}

/** In YAML or JSON: https://kubernetes.io/docs/concepts/configuration/secret/ */
function isKubernetesSecret(text: string): boolean {
  const quoted = (name: string, value: string): RegExp =>
    new RegExp(`^[ \\t{,]*["']?${name}["']?[ \\t]*:[ \\t]*["']?${value}["']?[ \\t]*[,}#]?`, "m");
  if (text.startsWith("{")) {
    return /"kind"\s{0,20}:\s{0,20}"Secret"/.test(text) && text.includes('"apiVersion"');
  }
  return quoted("kind", "Secret").test(text) && quoted("apiVersion", "v1").test(text);
}
