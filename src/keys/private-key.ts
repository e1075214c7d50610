import { fromUtf8 } from "#engine/bytes";
import { importDer, legacyPem, type PlatformKey } from "#engine/keys";
import type { KeyForm, OpenLegacyPem } from "../engine/types.js";
import { isOcicryptError, OcicryptError, unrecognizedKey } from "../errors.js";
import { MAX_KEYS_PER_FILE, MAX_PASSWORD_SIZE } from "../spec/limits.js";
import {
  type AsymmetricKey,
  requireSoundPrivateKey,
  tooManyKeys,
  wrongPassword,
} from "./asymmetric-key.js";
import { derKind } from "./der.js";
import { readJwks, requireHalf } from "./jwk.js";
import { readKeyMaterial, type KeyInput } from "./material.js";
import { parseOpenSshPrivateKey } from "./openssh.js";
import { decodeBlock, dekInfo, isEncryptedBlock, type PemBlock } from "./pem.js";

export interface PrivateKeyOptions {
  /**
   * The password of an encrypted key. It may contain any characters, in UTF-8, and has at most 1024
   * bytes.
   */
  password?: string | Uint8Array | undefined;
}

/**
 * A private key whose password is checked when the key is first needed, because this takes time.
 */
export interface LockedKey {
  /**
   * Opens the key, off the main thread.
   *
   * @throws {@link OcicryptError} `PASSWORD_WRONG`, `KEY_UNSUPPORTED`, `KEY_UNRECOGNIZED` and, for
   *   a JWK, the errors of {@link readJwks}
   */
  open(signal?: AbortSignal): Promise<AsymmetricKey[]>;
}

/**
 * Returns the private keys of a file, and decrypts encrypted keys.
 *
 * @param input PKCS#1, PKCS#8 or SEC1 as PEM or DER, encrypted PKCS#8, PEM with a DEK-Info header,
 *   an OpenSSH private key, a JWK or JWK Set, an encrypted JWK, or a key of Node.js or Web
 *   Cryptography
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `PASSWORD_MISSING`, `PASSWORD_WRONG`
 */
export async function readPrivateKeys(
  input: KeyInput,
  options: PrivateKeyOptions & { signal?: AbortSignal | undefined } = {},
): Promise<AsymmetricKey[]> {
  const keys: AsymmetricKey[] = [];
  for (const key of parsePrivateKeys(input, options)) {
    keys.push(...(isLocked(key) ? await key.open(options.signal) : [key]));
  }
  return keys;
}

export function isLocked(key: AsymmetricKey | LockedKey): key is LockedKey {
  return "open" in key;
}

/**
 * Returns the private keys of a file as {@link readPrivateKeys} does, but does not yet decrypt keys
 * whose password takes time to check.
 *
 * @throws {@link OcicryptError} as {@link readPrivateKeys}; a missing password is reported here
 */
export function parsePrivateKeys(
  input: KeyInput,
  options: PrivateKeyOptions = {},
): (AsymmetricKey | LockedKey)[] {
  const material = readKeyMaterial(input);
  switch (material.form) {
    case "object":
      return [requireHalf(material.key, "private", () => isPublic("public key"))];
    case "jwk":
      return readJwks(material.value, "private");
    case "jwe":
      return [lockedJwk(material.text, requirePassword(options))];
    case "pem":
      return readBlocks(material.blocks, options);
    case "openssh":
      throw isPublic("public key");
    case "der":
      return [readDer(Uint8Array.from(material.bytes), options)];
  }
}

function readBlocks(
  blocks: readonly PemBlock[],
  options: PrivateKeyOptions,
): (AsymmetricKey | LockedKey)[] {
  const keys = blocks.filter(({ label }) =>
    /^(?:(?:RSA|EC|ENCRYPTED|OPENSSH) )?PRIVATE KEY$/.test(label),
  );
  if (keys.length > MAX_KEYS_PER_FILE) throw tooManyKeys();
  if (keys.length > 0) return keys.map((block) => readBlock(block, options));
  const labels = blocks.map(({ label }) => label);
  if (labels.some((label) => label.endsWith("PUBLIC KEY"))) throw isPublic("public key");
  if (labels.some((label) => label.endsWith("CERTIFICATE"))) throw isPublic("certificate");
  throw unrecognizedKey(`its PEM block is "${labels[0]?.slice(0, 40) ?? ""}"`);
}

function readBlock(block: PemBlock, options: PrivateKeyOptions): AsymmetricKey | LockedKey {
  if (block.label === "OPENSSH PRIVATE KEY") return readOpenSsh(decodeBlock(block), options);
  if (block.label !== "ENCRYPTED PRIVATE KEY" && isEncryptedBlock(block)) {
    return readDek(block, options);
  }
  const bytes = decodeBlock(block);
  const kind = derKind(bytes);
  if (kind === undefined || /^(?:spki|pkcs1-public|certificate|pkcs12)$/.test(kind)) {
    throw unrecognizedKey("the private key in its PEM block is damaged");
  }
  return readDer(bytes, options);
}

/** @param bytes a copy, which is overwritten after the key has been created */
function readDer(bytes: Uint8Array, options: PrivateKeyOptions): AsymmetricKey | LockedKey {
  const kind = derKind(bytes);
  switch (kind) {
    case "pkcs8":
    case "pkcs1-private":
    case "sec1":
      return { key: parse(bytes, kind) };
    case "encrypted-pkcs8":
      return lockedPkcs8(bytes, requirePassword(options));
    case "pkcs12":
      throw new OcicryptError(
        "KEY_UNSUPPORTED",
        "this is a PKCS#12 file; keysFromFiles of ocicrypt/keys opens it",
      );
    default:
      throw isPublic(kind === "certificate" ? "certificate" : "public key");
  }
}

/** @param bytes overwritten after the key has been created */
function parse(bytes: Uint8Array, form: KeyForm): PlatformKey {
  try {
    return requireSoundPrivateKey(importDer(bytes, form));
  } catch (cause) {
    if (isOcicryptError(cause, "KEY_UNSUPPORTED")) throw cause;
    throw new OcicryptError("KEY_UNRECOGNIZED", "the private key is damaged", { cause });
  } finally {
    bytes.fill(0);
  }
}

function readOpenSsh(bytes: Uint8Array, options: PrivateKeyOptions): AsymmetricKey | LockedKey {
  const parsed = parseOpenSshPrivateKey(bytes);
  if (!parsed.isEncrypted) return { key: parsed.read() };
  const password = requirePassword(options);
  return { open: async (signal) => [{ key: await parsed.open(password, signal) }] };
}

/** Reads PEM with the headers of RFC 1421. Its password is hashed only once, which is fast. */
function readDek(block: PemBlock, options: PrivateKeyOptions): AsymmetricKey | LockedKey {
  const encrypted = dekInfo(block) ?? { cipher: "", pem: "" };
  const password = requirePassword(options);
  const read = (open: OpenLegacyPem<PlatformKey>): AsymmetricKey => {
    let key: PlatformKey;
    try {
      key = open(encrypted, password);
    } catch (cause) {
      throw isOcicryptError(cause, "KEY_UNSUPPORTED") ? cause : wrongPassword(cause);
    }
    return { key: requireSoundPrivateKey(key) };
  };
  if ("open" in legacyPem) return read(legacyPem.open);
  const { load } = legacyPem;
  return { open: async () => [read(await load())] };
}

function lockedPkcs8(bytes: Uint8Array, password: Uint8Array): LockedKey {
  return {
    async open(signal) {
      const { decryptPkcs8 } = await import("./pkcs12/encrypted-pkcs8.js");
      const decrypted = await decryptPkcs8(bytes, password, signal);
      if (decrypted === undefined) throw wrongPassword();
      return [{ key: parse(decrypted, "pkcs8") }];
    },
  };
}

function lockedJwk(text: string, password: Uint8Array): LockedKey {
  return {
    async open(signal) {
      const { decryptJwk } = await import("./encrypted.js");
      return readJwks(await decryptJwk(text, password, signal), "private");
    },
  };
}

function requirePassword({ password }: PrivateKeyOptions): Uint8Array {
  if (password === undefined) {
    const message = "the private key is encrypted and needs a password";
    throw new OcicryptError("PASSWORD_MISSING", message);
  }
  const bytes = typeof password === "string" ? fromUtf8(password) : Uint8Array.from(password);
  if (bytes.byteLength <= MAX_PASSWORD_SIZE) return bytes;
  const message = `the password is longer than ${String(MAX_PASSWORD_SIZE)} bytes`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}

function isPublic(what: string): OcicryptError {
  return new OcicryptError("KEY_IS_PUBLIC", `this is a ${what}; a private key is needed`);
}
