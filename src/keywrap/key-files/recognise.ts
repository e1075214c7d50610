import { fromUtf8, toUtf8 } from "#engine/bytes";
import {
  isBinaryOpenPgp,
  isPkcs12InBer,
  type KeyMaterial,
  readKeyMaterial,
  recoverKeyFile,
} from "../../keys/material.js";
import { isAgeFile, isArmouredAgeFile, isIdentityFile } from "../../keyserver/age/file.js";
import { thumbprint } from "../../keys/asymmetric-key.js";
import { MAX_KEY_FILE_SIZE } from "../../spec/limits.js";
import { decodeBase64 } from "../../spec/base64.js";
import { OcicryptError, unrecognizedKey } from "../../errors.js";
import { readPublicKeys } from "../../keys/public-key.js";
import { openPgpKeys } from "../pgp/openpgp.js";
import { parseYaml } from "../../text/yaml.js";

/** The kinds of key files. */
export type KeyFileForm =
  | "private key"
  | "public key"
  | "certificate"
  | "OpenPGP key"
  | "PKCS#11 key file"
  | "PKCS#12 file"
  | "Kubernetes Secret"
  | "age identity";

/**
 * Recognises a key file by its content. A file with a private key and certificates counts as a
 * private key.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function recognizeKeyFile(content: string | Uint8Array): KeyFileForm {
  return formOfRepaired(repairKeyFile(content));
}

/** As {@link recognizeKeyFile}, for content that {@link repairKeyFile} has returned. */
export function formOfRepaired(content: string | Uint8Array): KeyFileForm {
  if (content.length > MAX_KEY_FILE_SIZE) throw unrecognizedKey("it is larger than any key");
  // The binary part of an age file must not be taken for text.
  if (typeof content !== "string" && isAgeFile(content)) return "age identity";
  const recovered = recoverKeyFile(content);
  if (typeof recovered === "string") {
    // First, because it can hold a key of any kind in its lines.
    if (isKubernetesSecret(recovered)) return "Kubernetes Secret";
    if (isIdentityFile(recovered) || isArmouredAgeFile(recovered)) return "age identity";
    if (recovered.includes("-----BEGIN PGP ")) return "OpenPGP key";
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
  throw unrecognizedKey(`its PEM block is "${labels[0]?.slice(0, 40) ?? ""}"`);
}

function isPrivateJwk(value: Readonly<Record<string, unknown>>): boolean {
  const keys = Array.isArray(value.keys) ? (value.keys as unknown[]) : [value];
  return keys.some((key) => typeof key === "object" && key !== null && "d" in key);
}

/**
 * Line by line, because a regular expression over the whole text would search the space before a
 * name again for each line.
 */
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

/** The suffix that the name of a key's password has after the name of the key. */
export const PASSWORD_SUFFIX = ".password";

/**
 * Returns the entries of a Kubernetes Secret as files, without its passwords' entries.
 *
 * @param content YAML or JSON of one Secret, as `kubectl get secret NAME -o yaml` prints it
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`; no message quotes the file
 */
export async function readKubernetesSecret(
  content: string | Uint8Array,
): Promise<{ name: string; content: Uint8Array; password?: Uint8Array }[]> {
  let secret: unknown;
  try {
    const recovered = recoverKeyFile(content);
    secret = await parseYaml(typeof recovered === "string" ? recovered : toUtf8(recovered));
  } catch {
    throw unrecognizedKey("it is a Kubernetes Secret whose YAML is damaged");
  }
  const entries = new Map<string, Uint8Array>();
  for (const [name, value] of membersOf(secret, "data")) {
    const bytes = decodeBase64(value.replace(/\s+/g, ""));
    if (bytes === null) throw unrecognizedKey(`the entry ${JSON.stringify(name)} is not base64`);
    entries.set(name, bytes);
  }
  for (const [name, value] of membersOf(secret, "stringData")) {
    entries.set(name, fromUtf8(value));
  }
  const isPassword = (name: string): boolean =>
    name.endsWith(PASSWORD_SUFFIX) && entries.has(name.slice(0, -PASSWORD_SUFFIX.length));
  return [...entries]
    .filter(([name]) => !isPassword(name))
    .map(([name, bytes]) => {
      const password = entries.get(name + PASSWORD_SUFFIX);
      return { name, content: bytes, ...(password && { password: withoutLineEnd(password) }) };
    });
}

function membersOf(secret: unknown, name: string): [string, string][] {
  const members: unknown = (secret as Record<string, unknown> | null)?.[name] ?? {};
  return Object.entries(members as object).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
}

/** Removes the line end that editors and `echo` add to a password file. */
export function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  const end = bytes.at(-1) !== 0x0a ? 0 : bytes.at(-2) === 0x0d ? 2 : 1;
  return bytes.subarray(0, bytes.byteLength - end);
}

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
  const repaired = repairKeyFile(content);
  const form = formOfRepaired(repaired);
  switch (form) {
    case "certificate": {
      const { pkcs7 } = await import("../pkcs7/index.js");
      return [...(await pkcs7.keyIds(repaired)), ...publicKeyIds(repaired)];
    }
    case "public key":
      return publicKeyIds(repaired);
    case "OpenPGP key":
      return openPgpIds(recoverKeyFile(repaired));
    default: {
      const message = `this is a ${form}; a public key or a certificate is needed`;
      throw new OcicryptError("KEY_IS_PRIVATE", message);
    }
  }
}

function publicKeyIds(content: string | Uint8Array): string[] {
  return readPublicKeys(content).flatMap(({ key, kid }) => {
    // Other keys have no thumbprint, and cannot be recipients.
    const own = /^(?:rsa|ec)$/.test(key.asymmetricKeyType ?? "")
      ? [thumbprint(key)].filter((each) => each !== undefined)
      : [];
    return kid === undefined ? own : [...own, kid];
  });
}

async function openPgpIds(content: string | Uint8Array): Promise<string[]> {
  const keys = await openPgpKeys(content);
  return keys.flatMap((key) => key.getKeyIDs().map((id) => `0x${id.toHex()}`));
}

/**
 * Restores PEM that transport changed without losing any of it: its characters are encoded as in
 * forms, URLs or JSON. Other content is returned as it is.
 */
export function repairKeyFile(content: string | Uint8Array): string | Uint8Array {
  if (content.length > MAX_KEY_FILE_SIZE) return content;
  const text = recoverKeyFile(content);
  if (typeof text !== "string" || text.startsWith("{")) return content;
  if (!/-----BEGIN[+ %]/.test(text) || !/-----BEGIN\+|%|\\u00|\\\//.test(text)) return content;
  // Where only the spaces became `+`, those of base64 stay.
  const plus = /[/\n]/.test(text) ? /(?<=-(?:BEGIN|END)[+A-Z]{0,40})\+/g : /\+/g;
  return (text.includes("-----BEGIN+") ? text.replace(plus, " ") : text)
    .replace(/(?:%|\\u00)([0-7][\da-f])/gi, (_, hex: string) =>
      String.fromCharCode(parseInt(hex, 16)),
    )
    .replaceAll("\\/", "/");
}
