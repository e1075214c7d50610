import { X509Certificate } from "node:crypto";
import { OcicryptError } from "../errors.js";
import { readKeyMaterial, unrecognized, type KeyMaterial } from "../keys/material.js";
import { readPrivateKeys } from "../keys/private-key.js";
import type { Key } from "./types.js";

/** A file that somebody gives as a key, as its bytes or text. */
export interface KeyFile {
  content: string | Uint8Array;
  /** For an encrypted key; of any characters, taken as UTF-8. */
  password?: string | Uint8Array | undefined;
  /** How to call it in reports and errors: its name. */
  label: string;
}

/** What a key file can be. */
export type KeyFileForm =
  | "private key"
  | "public key"
  | "certificate"
  | "OpenPGP key"
  | "PKCS #11 key file"
  | "PKCS #12 file";

/**
 * Recognises a key file by its content. A file with a private key and certificates is a private
 * key.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function recognizeKeyFile(content: string | Uint8Array): KeyFileForm {
  if (isOpenPgp(content)) return "OpenPGP key";
  if (isPkcs11KeyFile(content)) return "PKCS #11 key file";
  const material = readKeyMaterial(content);
  if (material.form === "pem") return formOfPem(material.blocks.map(({ label }) => label));
  if (material.form === "jwk") return formOfJwk(material);
  if (material.kind === "pkcs12") return "PKCS #12 file";
  if (material.kind === "certificate") return "certificate";
  return /^(?:spki|pkcs1-public)$/.test(material.kind) ? "public key" : "private key";
}

/**
 * The keys that a set of files gives, for every scheme that they can open. An RSA key gives one
 * for JWE, one for PKCS#7 and one for layers wrapped for a PKCS #11 token; certificates go to the
 * private keys that they belong to, whatever the order of the files.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `KEY_MISMATCH` for a certificate without its key, `PASSWORD_MISSING`,
 *   `PASSWORD_WRONG`; each names the file it is about
 */
export async function keysFromFiles(files: readonly KeyFile[]): Promise<Key[]> {
  const recognized = files.map((file) =>
    naming(file, () => ({ ...file, form: recognizeKeyFile(file.content) })),
  );
  const certificates = recognized.filter(({ form }) => form === "certificate");
  const used = new Set<KeyFile>();
  const keys: Key[] = [];
  for (const file of recognized) {
    if (file.form === "certificate") continue;
    const own = file.form === "private key" ? findCertificates(file, certificates) : [];
    for (const certificate of own) used.add(certificate);
    keys.push(...(await namingAsync(file, () => toKeys(file, own))));
  }
  const unused = certificates.find((certificate) => !used.has(certificate));
  if (unused !== undefined) {
    const message = `${unused.label} is a certificate, and its private key is not among the keys`;
    throw new OcicryptError("KEY_MISMATCH", message);
  }
  return keys;
}

async function toKeys(
  file: KeyFile & { form: KeyFileForm },
  certificates: readonly KeyFile[],
): Promise<Key[]> {
  const { content, password, label } = file;
  switch (file.form) {
    case "private key":
      return fromPrivateKey(file, certificates);
    case "OpenPGP key": {
      const { pgp } = await import("./pgp/index.js");
      return [pgp.key(content, { password, label })];
    }
    case "PKCS #11 key file": {
      const { pkcs11 } = await import("./pkcs11/index.js");
      return [await pkcs11.key(content, { label })];
    }
    case "PKCS #12 file":
      throw new OcicryptError("KEY_UNSUPPORTED", "this is a PKCS #12 file");
    default:
      throw new OcicryptError("KEY_IS_PUBLIC", `this is a ${file.form}; a private key is needed`);
  }
}

async function fromPrivateKey(file: KeyFile, certificates: readonly KeyFile[]): Promise<Key[]> {
  const { content, password, label } = file;
  const { jwe } = await import("./jwe/index.js");
  const { pkcs7 } = await import("./pkcs7/index.js");
  const { pkcs11 } = await import("./pkcs11/index.js");
  const certificate =
    certificates.length === 0 ? {} : { certificate: certificates.map(textOf).join("\n") };
  const readers = [
    () => jwe.keys(content, { password, label }),
    () => pkcs7.keys(content, { password, label, ...certificate }),
    async () => [await pkcs11.key(content, { password, label })],
  ];
  const keys: Key[] = [];
  let refusal: OcicryptError | undefined;
  for (const read of readers) {
    try {
      keys.push(...(await read()));
    } catch (error) {
      // A key that is good for one scheme need not be for all: an EC key is for JWE only.
      if (!(error instanceof OcicryptError) || error.code !== "KEY_UNSUPPORTED") throw error;
      refusal ??= error;
    }
  }
  if (keys.length === 0 && refusal !== undefined) throw refusal;
  return keys;
}

/** The certificates that belong to a private key. */
function findCertificates(file: KeyFile, certificates: readonly KeyFile[]): KeyFile[] {
  if (certificates.length === 0) return [];
  const keys = naming(file, () => readPrivateKeys(file.content, file));
  return certificates.filter((certificate) => {
    const chain = naming(certificate, () => readChain(certificate));
    return keys.some(({ key }) => chain.some((x509) => x509.checkPrivateKey(key)));
  });
}

function readChain({ content }: KeyFile): X509Certificate[] {
  const material = readKeyMaterial(content);
  const parts = material.form === "pem" ? material.blocks.map(({ text }) => text) : [content];
  try {
    return parts.map((part) => new X509Certificate(part));
  } catch (cause) {
    throw new OcicryptError("KEY_UNRECOGNIZED", "the certificate is damaged", { cause });
  }
}

function textOf(certificate: KeyFile): string {
  return readChain(certificate).join("\n");
}

function formOfPem(labels: readonly string[]): KeyFileForm {
  if (labels.some((label) => label.endsWith("PRIVATE KEY"))) return "private key";
  if (labels.some((label) => label.endsWith("CERTIFICATE"))) return "certificate";
  if (labels.some((label) => label.endsWith("PUBLIC KEY"))) return "public key";
  throw unrecognized(`its PEM block is "${labels[0]?.slice(0, 40) ?? ""}"`);
}

function formOfJwk({ value }: KeyMaterial & { form: "jwk" }): KeyFileForm {
  const keys = Array.isArray(value.keys) ? (value.keys as unknown[]) : [value];
  const isPrivate = keys.some((key) => typeof key === "object" && key !== null && "d" in key);
  return isPrivate ? "private key" : "public key";
}

/** Armour, or a packet of a primary key in either of its formats: RFC 9580, section 4.2. */
function isOpenPgp(content: string | Uint8Array): boolean {
  if (typeof content === "string") return content.includes("-----BEGIN PGP ");
  const first = content[0] ?? 0;
  if ((first & 0x80) === 0) return Buffer.from(content).includes("-----BEGIN PGP ");
  const tag = (first & 0x40) === 0 ? (first >> 2) & 0x0f : first & 0x3f;
  return tag === 5 || tag === 6;
}

function isPkcs11KeyFile(content: string | Uint8Array): boolean {
  const text = typeof content === "string" ? content : Buffer.from(content).toString("latin1");
  return /^\s*pkcs11\s*:/m.test(text) && !text.includes("-----BEGIN ");
}

/** Of several files, which one an error is about. */
function naming<T>({ label }: KeyFile, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw named(label, error);
  }
}

async function namingAsync<T>({ label }: KeyFile, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw named(label, error);
  }
}

function named(label: string, error: unknown): unknown {
  if (!(error instanceof OcicryptError)) return error;
  return new OcicryptError(error.code, `${label}: ${error.message}`, { cause: error });
}
