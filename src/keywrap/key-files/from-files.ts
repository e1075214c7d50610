import { fromUtf8 } from "#engine/bytes";
import { loadAge, loadPgp, loadPkcs11, loadPkcs11Key } from "#engine/key-schemes";
import { keyId } from "#engine/keys";
import { isOcicryptError, OcicryptError, type ErrorCode } from "../../errors.js";
import type { AsymmetricKey } from "../../keys/asymmetric-key.js";
import { readKeyMaterial, recoverKeyFile } from "../../keys/material.js";
import { readPrivateKeys } from "../../keys/private-key.js";
import { certificatesIn, readCertificates, type Certificate } from "../pkcs7/certificate.js";
import type { Key } from "../types.js";
import {
  formOfRepaired,
  type KeyFileForm,
  readKubernetesSecret,
  recognizeKeyFile,
  repairKeyFile,
} from "./recognise.js";

/** The content of a key file, with the password that opens it. */
export interface KeyFile {
  content: string | Uint8Array;
  /** The password of an encrypted key. It may contain any characters, in UTF-8. */
  password?: string | Uint8Array | undefined;
  /** The name of the file in reports and errors. */
  label: string;
}

export interface KeysFromFilesOptions {
  /** Aborts the derivation of keys from passwords. */
  signal?: AbortSignal | undefined;
}

/**
 * Returns the keys in a set of files, for every scheme that they can open. An RSA key yields one
 * for JWE, one for PKCS#7 and one for layers wrapped for a PKCS#11 token. Certificates are matched
 * to their private keys, whatever the order of the files. If a file contains several keys, those
 * that no scheme can use are skipped. Entries of a Kubernetes Secret that are not keys are skipped
 * too.
 *
 * Passwords are checked here, off the main thread.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `KEY_MISMATCH` for certificates without their key, `PASSWORD_MISSING`,
 *   `PASSWORD_WRONG`; each names its file
 */
export function keysFromFiles(
  files: readonly KeyFile[],
  { signal }: KeysFromFilesOptions = {},
): Promise<Key[]> {
  return readKeyFiles(files, { signal });
}

/** The reasons for skipping an entry of a Kubernetes Secret, which need not be a key. */
const SKIPPABLE: readonly ErrorCode[] = [
  "KEY_UNRECOGNIZED",
  "KEY_UNSUPPORTED",
  "KEY_USE_FORBIDDEN",
  "KEY_IS_PUBLIC",
  "KEY_MISMATCH",
];

/** A file, or an entry of a Kubernetes Secret. */
interface Candidate extends KeyFile {
  isEntry?: boolean;
}

/** Called with the reason for each file that is skipped. */
type OnSkip = (error: OcicryptError) => void;

/**
 * @param onSkip for files that the caller has not named, such as those of a directory. A file
 *   that gives no key is skipped; without `onSkip`, it is an error.
 */
export async function readKeyFiles(
  files: readonly KeyFile[],
  options: KeysFromFilesOptions & { onSkip?: OnSkip },
): Promise<Key[]> {
  const { signal, onSkip } = options;
  const candidates: Candidate[] = [];
  for (const file of files) {
    await skipping(file, onSkip, async () => {
      for (const each of await expand(file)) {
        candidates.push({ ...each, content: repairKeyFile(each.content) });
      }
    });
  }
  const recognized: { file: Candidate; form: KeyFileForm }[] = [];
  const chains: { file: Candidate; chain: Certificate[] }[] = [];
  const used = new Set<KeyFile>();
  const keys: Key[] = [];
  for (const file of candidates) {
    await skipping(file, onSkip, () => {
      const form = formOfRepaired(file.content);
      if (form === "certificate") chains.push({ file, chain: chainOf(file.content) });
      else recognized.push({ file, form });
    });
  }
  for (const { file, form } of recognized) {
    await skipping(file, onSkip, async () => {
      const read = await readKeys(file, form, signal);
      if ("keys" in read) {
        keys.push(...read.keys);
        return;
      }
      const own = new Set(read.privateKeys.map(({ key }) => keyId(key)));
      const others = chains.filter(({ chain }) => chain.some((each) => own.has(idOf(each))));
      for (const other of others) used.add(other.file);
      const certificates = [...read.certificates, ...others.flatMap(({ chain }) => chain)];
      keys.push(...(await toKeys(file, { ...read, certificates })));
    });
  }
  for (const { file } of chains.filter((each) => !used.has(each.file))) {
    const message = `${file.label} is a certificate, and its private key is not among the keys`;
    const error = new OcicryptError("KEY_MISMATCH", message);
    if (onSkip === undefined && file.isEntry !== true) throw error;
    onSkip?.(error);
  }
  return keys;
}

/** Returns the file, or the entries of a Kubernetes Secret. */
async function expand(file: KeyFile): Promise<Candidate[]> {
  let form: KeyFileForm | undefined;
  try {
    form = recognizeKeyFile(file.content);
  } catch {
    // The error is reported when the file is read.
  }
  if (form !== "Kubernetes Secret") return [file];
  const entries = await readKubernetesSecret(file.content);
  const candidates = entries.map(({ name, ...entry }) => ({
    password: file.password,
    ...entry,
    label: `${file.label} (${name})`,
    isEntry: true,
  }));
  if (candidates.some(({ content }) => isPrivate(content))) return candidates;
  throw new OcicryptError("KEY_IS_PUBLIC", "the Secret holds no private key");
}

function isPrivate(content: string | Uint8Array): boolean {
  try {
    return !/^(?:public key|certificate)$/.test(recognizeKeyFile(content));
  } catch {
    return false;
  }
}

/** The private keys of a file that belong to no particular scheme, with its certificates. */
interface PrivateKeyFile {
  privateKeys: AsymmetricKey[];
  certificates: Certificate[];
}

async function readKeys(
  { content, password, label }: KeyFile,
  form: KeyFileForm,
  signal: AbortSignal | undefined,
): Promise<{ keys: Key[] } | PrivateKeyFile> {
  switch (form) {
    case "private key": {
      const certificates = chainOf(content);
      return withOwn({
        privateKeys: await readPrivateKeys(content, { password, signal }),
        certificates,
      });
    }
    case "PKCS#12 file": {
      const { readPkcs12 } = await import("../../keys/pkcs12/pkcs12.js");
      const file = recoverKeyFile(content);
      const bytes = typeof file === "string" ? fromUtf8(file) : Uint8Array.from(file);
      const { privateKeys, certificates } = await readPkcs12(bytes, { password, signal });
      return withOwn({
        privateKeys: privateKeys.map((key) => ({ key })),
        certificates: certificates.flatMap(({ raw }) => readCertificates(raw)),
      });
    }
    case "OpenPGP key": {
      const { pgp } = await loadPgp();
      return { keys: [pgp.key(recoverKeyFile(content), { password, label })] };
    }
    case "age identity": {
      const { age } = await loadAge();
      return { keys: await age.keys(content, { password, label, signal }) };
    }
    case "PKCS#11 key file": {
      const { pkcs11 } = await loadPkcs11();
      return { keys: [await pkcs11.key(recoverKeyFile(content), { label })] };
    }
    default:
      throw new OcicryptError("KEY_IS_PUBLIC", `this is a ${form}; a private key is needed`);
  }
}

/** @throws {@link OcicryptError} `KEY_MISMATCH` if no certificate belongs to any of the keys */
function withOwn(file: PrivateKeyFile): PrivateKeyFile {
  const { privateKeys, certificates } = file;
  const own = new Set(privateKeys.map(({ key }) => keyId(key)));
  if (certificates.length === 0 || certificates.some((each) => own.has(idOf(each)))) return file;
  const message = "none of its certificates belongs to a private key in it";
  throw new OcicryptError("KEY_MISMATCH", message);
}

async function toKeys(
  { label }: KeyFile,
  { privateKeys, certificates }: PrivateKeyFile,
): Promise<Key[]> {
  const jwe = await import("../jwe/key.js");
  const pkcs7 = await import("../pkcs7/key.js");
  const pkcs11 = await loadPkcs11Key();
  const keys: Key[] = [];
  let refusal: OcicryptError | undefined;
  for (const privateKey of privateKeys) {
    const id = keyId(privateKey.key);
    const own = certificates.filter((each) => idOf(each) === id);
    const makers = [
      () => jwe.keyOf(privateKey, label),
      () => pkcs7.keyOf(privateKey, own, label),
      () => pkcs11.keyOf(privateKey, label),
    ];
    for (const make of makers) {
      try {
        keys.push(make());
      } catch (error) {
        // Not every scheme supports every key: an EC key is only for JWE.
        if (!isOcicryptError(error, "KEY_UNSUPPORTED")) throw error;
        refusal ??= error;
      }
    }
  }
  if (keys.length === 0 && refusal !== undefined) throw refusal;
  return keys;
}

/** Returns the certificates in a certificate file, or next to a private key in its file. */
function chainOf(content: string | Uint8Array): Certificate[] {
  return certificatesIn(readKeyMaterial(content));
}

/** Returns an empty id, which matches no key, for keys of an unknown kind. */
function idOf({ publicKey }: Certificate): string {
  return publicKey === undefined ? "" : keyId(publicKey);
}

/** Runs a step that belongs to one file; its errors name the file, unless they are skipped. */
async function skipping(
  file: Candidate,
  onSkip: OnSkip | undefined,
  step: () => Promise<void> | void,
): Promise<void> {
  try {
    await step();
  } catch (error) {
    if (!isOcicryptError(error)) throw error;
    const named = new OcicryptError(error.code, `${file.label}: ${error.message}`, {
      cause: error,
    });
    const isSkipped =
      onSkip !== undefined || (file.isEntry === true && SKIPPABLE.includes(error.code));
    if (!isSkipped) throw named;
    onSkip?.(named);
  }
}
