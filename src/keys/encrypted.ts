import { fromBase64, toUtf8 } from "#engine/bytes";
import { decryptFile, hasCipher } from "#engine/key-cipher";
import type { FlattenedJWE } from "jose";
import { OcicryptError, shown, unrecognizedKey } from "../errors.js";
import { abortable } from "../io/abort.js";
import { MAX_BCRYPT_ROUNDS, MAX_KEY_FILE_SIZE, MAX_PBKDF2_ITERATIONS } from "../spec/limits.js";
import { parseJson, requireObject, type JsonObject } from "../text/json.js";

/** RFC 7518 section 4.8: the sizes of the wrapping keys, in bytes. */
const KEY_SIZES: ReadonlyMap<string, number> = /* @__PURE__ */ new Map([
  ["PBES2-HS256+A128KW", 16],
  ["PBES2-HS384+A192KW", 24],
  ["PBES2-HS512+A256KW", 32],
]);

/**
 * Decrypts a JWK that is encrypted with a password: RFC 7517 section 7, as the step command writes
 * it.
 *
 * @param text a JWE in its compact or flattened serialization
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`; `KEY_UNSUPPORTED` for another encryption or too
 *   many iterations, or a cipher that is missing here; `PASSWORD_WRONG`
 */
export async function decryptJwk(
  text: string,
  password: Uint8Array,
  signal?: AbortSignal,
): Promise<JsonObject> {
  const jwe = text.startsWith("{") ? (JSON.parse(text) as FlattenedJWE) : text;
  const keySize = requirePbes2(typeof jwe === "string" ? jwe.split(".", 1)[0] : jwe.protected);
  const options = {
    keyManagementAlgorithms: [...KEY_SIZES.keys()],
    maxPBES2Count: MAX_PBKDF2_ITERATIONS,
  };
  const [{ compactDecrypt }, { flattenedDecrypt }] = await Promise.all([
    import("jose/jwe/compact/decrypt"),
    import("jose/jwe/flattened/decrypt"),
  ]);
  let plaintext: Uint8Array;
  try {
    const decrypted =
      typeof jwe === "string"
        ? compactDecrypt(jwe, password, options)
        : flattenedDecrypt(jwe, password, options);
    ({ plaintext } = await abortable<{ plaintext: Uint8Array }>(decrypted, signal));
  } catch {
    signal?.throwIfAborted();
    await requireKeyWrap(keySize);
    // A wrong password and a damaged message cannot be distinguished.
    throw new OcicryptError("PASSWORD_WRONG", "the password does not open the encrypted JWK");
  }
  try {
    return parseObject(toUtf8(plaintext), "the JWE does not hold a JWK");
  } finally {
    plaintext.fill(0);
  }
}

/**
 * Tells a wrong password from a size of AES that Web Cryptography, which jose uses, lacks here, such as
 * 192 bits in Chromium.
 */
async function requireKeyWrap(keySize: number): Promise<void> {
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(keySize), "AES-KW", false, ["unwrapKey"]);
  } catch (cause) {
    const cipher = `AES-${String(8 * keySize)}`;
    const message = `the encrypted JWK needs ${cipher}, which this runtime does not offer`;
    throw new OcicryptError("KEY_UNSUPPORTED", message, { cause });
  }
}

/** @param why the reason for the error, because the parser's own message could quote the key */
function parseObject(text: string, why: string): JsonObject {
  const refuse = (): OcicryptError => unrecognizedKey(why);
  return requireObject(parseJson(text, { maxSize: MAX_KEY_FILE_SIZE, refuse }), refuse);
}

function requirePbes2(protectedHeader: unknown): number {
  const text = typeof protectedHeader === "string" ? protectedHeader : "";
  const { alg, p2c } = parseObject(
    toUtf8(fromBase64(text)),
    "it is a JWE whose protected header is damaged",
  );
  const keySize = KEY_SIZES.get(typeof alg === "string" ? alg : "");
  if (keySize === undefined) {
    const named = typeof alg === "string" ? shown(alg) : "missing";
    const message = `it is a JWE whose "alg" is ${named}; an encrypted JWK has ${[...KEY_SIZES.keys()].join(", ")}`;
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  if (typeof p2c !== "number" || p2c <= MAX_PBKDF2_ITERATIONS) return keySize;
  const message = `the encrypted JWK derives its key with more than ${String(MAX_PBKDF2_ITERATIONS)} iterations`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}

interface OpenSshCipher {
  /** The name in OpenSSL. */
  name: string;
  /** In bytes, as `ivSize`. */
  keySize: number;
  ivSize: number;
}

/** OpenSSH's ciphers; PROTOCOL.key and cipher.c of OpenSSH. */
const CIPHERS: ReadonlyMap<string, OpenSshCipher> = /* @__PURE__ */ new Map([
  ["aes128-ctr", { name: "aes-128-ctr", keySize: 16, ivSize: 16 }],
  ["aes192-ctr", { name: "aes-192-ctr", keySize: 24, ivSize: 16 }],
  ["aes256-ctr", { name: "aes-256-ctr", keySize: 32, ivSize: 16 }],
  ["aes128-cbc", { name: "aes-128-cbc", keySize: 16, ivSize: 16 }],
  ["aes192-cbc", { name: "aes-192-cbc", keySize: 24, ivSize: 16 }],
  ["aes256-cbc", { name: "aes-256-cbc", keySize: 32, ivSize: 16 }],
  ["3des-cbc", { name: "des-ede3-cbc", keySize: 24, ivSize: 8 }],
  ["aes128-gcm@openssh.com", { name: "aes-128-gcm", keySize: 16, ivSize: 12 }],
  ["aes256-gcm@openssh.com", { name: "aes-256-gcm", keySize: 32, ivSize: 12 }],
]);

const TAG_SIZE = 16;

/** The encrypted part of an OpenSSH private key file, and what its key is derived from. */
export interface EncryptedOpenSsh {
  /** The name in OpenSSH, as `kdf`. */
  cipher: string;
  kdf: string;
  /** The options of the KDF. */
  options: Uint8Array;
  secret: Uint8Array;
  /** The bytes after the secret, which start with the tag of GCM. */
  tag: Uint8Array;
}

/**
 * Decrypts the secret part of an OpenSSH private key.
 *
 * @returns `undefined` if the tag is wrong; the other ciphers have none, and leave a wrong password
 *   to the check numbers in the secret
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`; `KEY_UNSUPPORTED` for another derivation, too
 *   many rounds, or a cipher that is missing here
 */
export async function decryptOpenSsh(
  { cipher, kdf, options, secret, tag }: EncryptedOpenSsh,
  password: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  const { salt, rounds } = readKdf(kdf, options);
  const known = CIPHERS.get(cipher);
  if (known === undefined || !hasCipher(known.name)) {
    const how = "give a copy another cipher with ssh-keygen -p -Z aes256-ctr -f COPY";
    throw unsupported(`it is encrypted with ${cipher.slice(0, 40)}; ${how}`);
  }
  const { deriveBcrypt } = await import("#engine/bcrypt");
  const { name, keySize, ivSize } = known;
  const derived = await deriveBcrypt({ password, salt, rounds, size: keySize + ivSize }, signal);
  try {
    const [key, iv] = [derived.subarray(0, keySize), derived.subarray(keySize)];
    const ownTag = name.endsWith("gcm") ? tag.subarray(0, TAG_SIZE) : undefined;
    return await decryptFile({ name, key, iv, tag: ownTag, isPadded: false }, secret);
  } finally {
    derived.fill(0);
  }
}

/**
 * Reads the salt, behind its size, and the rounds. These are limited, because they are computed
 * before it is known whether the password is right.
 */
function readKdf(kdf: string, options: Uint8Array): { salt: Uint8Array; rounds: number } {
  if (kdf !== "bcrypt") throw unsupported(`its password is derived with ${kdf.slice(0, 40)}`);
  const view = new DataView(options.buffer, options.byteOffset, options.byteLength);
  const size = options.byteLength < 8 ? undefined : view.getUint32(0);
  if (size === undefined || size > options.byteLength - 8) {
    throw unrecognizedKey("its OpenSSH private key is damaged or cut off");
  }
  const rounds = view.getUint32(4 + size);
  if (rounds <= MAX_BCRYPT_ROUNDS) return { salt: options.subarray(4, 4 + size), rounds };
  throw unsupported(`its password is derived with more than ${String(MAX_BCRYPT_ROUNDS)} rounds`);
}

function unsupported(why: string): OcicryptError {
  return new OcicryptError("KEY_UNSUPPORTED", `the OpenSSH private key cannot be read: ${why}`);
}
