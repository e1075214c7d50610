/**
 * Keys of all schemes from key files of any form.
 *
 * @module ocicrypt/keys
 */
import { X509Certificate } from "node:crypto";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import {
  readKeyMaterial,
  unrecognized,
  type KeyInput,
  type KeyMaterial,
} from "../../keys/material.js";
import { readPrivateKeys } from "../../keys/private-key.js";
import type { AsymmetricKey } from "../../keys/material.js";
import type { Key } from "../types.js";

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
  if (isPkcs12InBer(content)) return "PKCS #12 file";
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
 * private keys that they belong to, whatever the order of the files. Of several keys in one file,
 * those that no scheme has use for are passed over.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `KEY_MISMATCH` for certificates without their key, `PASSWORD_MISSING`,
 *   `PASSWORD_WRONG`; each names the file it is about
 */
export async function keysFromFiles(files: readonly KeyFile[]): Promise<Key[]> {
  const recognized = files.map((file) =>
    naming(file, () => ({ file, form: recognizeKeyFile(file.content) })),
  );
  const chains = recognized
    .filter(({ form }) => form === "certificate")
    .map(({ file }) => ({ file, chain: naming(file, () => readChain(file.content)) }));
  const used = new Set<KeyFile>();
  const keys: Key[] = [];
  for (const { file, form } of recognized) {
    if (form === "certificate") continue;
    const read = await namingAsync(file, () => readKeys(file, form));
    if ("keys" in read) {
      keys.push(...read.keys);
      continue;
    }
    const others = chains.filter(({ chain }) => hasCertificateOf(chain, read.privateKeys));
    for (const other of others) used.add(other.file);
    const certificates = [...read.certificates, ...others.flatMap(({ chain }) => chain)];
    keys.push(...(await namingAsync(file, () => toKeys(file, { ...read, certificates }))));
  }
  const unused = chains.find(({ file }) => !used.has(file));
  if (unused !== undefined) {
    const message = `${unused.file.label} is a certificate, and its private key is not among the keys`;
    throw new OcicryptError("KEY_MISMATCH", message);
  }
  return keys;
}

/** What a file with private keys of no particular scheme holds. */
interface PrivateKeyFile {
  privateKeys: AsymmetricKey[];
  certificates: X509Certificate[];
}

async function readKeys(
  { content, password, label }: KeyFile,
  form: KeyFileForm,
): Promise<{ keys: Key[] } | PrivateKeyFile> {
  switch (form) {
    case "private key": {
      const certificates = readChain(content);
      return withOwn({ privateKeys: readPrivateKeys(content, { password }), certificates });
    }
    case "PKCS #12 file": {
      const { readPkcs12 } = await import("../../keys/pkcs12/pkcs12.js");
      const { privateKeys, certificates } = await readPkcs12(Buffer.from(content), { password });
      return withOwn({ privateKeys: privateKeys.map((key) => ({ key })), certificates });
    }
    case "OpenPGP key": {
      const { pgp } = await import("../pgp/index.js");
      return { keys: [pgp.key(content, { password, label })] };
    }
    case "PKCS #11 key file": {
      const { pkcs11 } = await import("../pkcs11/index.js");
      return { keys: [await pkcs11.key(content, { label })] };
    }
    default:
      throw new OcicryptError("KEY_IS_PUBLIC", `this is a ${form}; a private key is needed`);
  }
}

/** @throws {@link OcicryptError} `KEY_MISMATCH` when there are certificates, and none of the keys */
function withOwn(file: PrivateKeyFile): PrivateKeyFile {
  const { privateKeys, certificates } = file;
  if (certificates.length === 0 || hasCertificateOf(certificates, privateKeys)) return file;
  const message = "none of its certificates belongs to a private key in it";
  throw new OcicryptError("KEY_MISMATCH", message);
}

async function toKeys(
  { label }: KeyFile,
  { privateKeys, certificates }: PrivateKeyFile,
): Promise<Key[]> {
  const { jwe } = await import("../jwe/index.js");
  const { pkcs7 } = await import("../pkcs7/index.js");
  const { pkcs11 } = await import("../pkcs11/index.js");
  const keys: Key[] = [];
  let refusal: OcicryptError | undefined;
  for (const privateKey of privateKeys) {
    const input = toInput(privateKey);
    const own = certificates.filter((x509) => x509.checkPrivateKey(privateKey.key)).join("\n");
    const makers = [
      () => jwe.key(input, { label }),
      () => pkcs7.key(input, { label, ...(own !== "" && { certificate: own }) }),
      () => pkcs11.key(input, { label }),
    ];
    try {
      for (const make of makers) {
        try {
          keys.push(await make());
        } catch (error) {
          // A key that is good for one scheme need not be for all: an EC key is for JWE only.
          if (!isOcicryptError(error, "KEY_UNSUPPORTED")) throw error;
          refusal ??= error;
        }
      }
    } finally {
      if (input instanceof Uint8Array) input.fill(0);
    }
  }
  if (keys.length === 0 && refusal !== undefined) throw refusal;
  return keys;
}

/** One key as a file of its own; as a JWK where it was one that says more than the key. */
function toInput({ key, kid, alg }: AsymmetricKey): KeyInput {
  if (kid === undefined && alg === undefined) return key.export({ type: "pkcs8", format: "der" });
  return { ...key.export({ format: "jwk" }), kid, alg };
}

function hasCertificateOf(
  certificates: readonly X509Certificate[],
  privateKeys: readonly AsymmetricKey[],
): boolean {
  return certificates.some((x509) => privateKeys.some(({ key }) => x509.checkPrivateKey(key)));
}

/** The certificates in a certificate's file, or beside a private key in its file. */
function readChain(content: string | Uint8Array): X509Certificate[] {
  const parts = certificatesIn(readKeyMaterial(content));
  try {
    return parts.map((part) => new X509Certificate(part));
  } catch (cause) {
    throw new OcicryptError("KEY_UNRECOGNIZED", "the certificate is damaged", { cause });
  }
}

function certificatesIn(material: KeyMaterial): (string | Uint8Array)[] {
  if (material.form === "pem") {
    const blocks = material.blocks.filter(({ label }) => label.endsWith("CERTIFICATE"));
    return blocks.map(({ text }) => text);
  }
  return material.form === "der" && material.kind === "certificate" ? [material.bytes] : [];
}

function formOfPem(labels: readonly string[]): KeyFileForm {
  if (labels[0] === "OPENSSH PRIVATE KEY") {
    const how = "ssh-keygen -p -m PKCS8 -f COPY makes PEM of a copy";
    throw unrecognized(`it is in a form of OpenSSH's own; ${how}`);
  }
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

/**
 * A PFX whose outermost length is indefinite, as BER allows it and some programs write it: a
 * SEQUENCE of the version and a SEQUENCE.
 */
function isPkcs12InBer(content: string | Uint8Array): boolean {
  const start = [0x30, 0x80, 0x02, 0x01, 0x03, 0x30];
  return typeof content !== "string" && start.every((byte, index) => content[index] === byte);
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
