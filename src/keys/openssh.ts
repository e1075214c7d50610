import { concat, fromBase64, fromHex, toBase64url, toHex, toLatin1 } from "#engine/bytes";
import { importJwk, type PlatformKey } from "#engine/keys";
import { OcicryptError, unrecognizedKey } from "../errors.js";
import { MAX_KEYS_PER_FILE } from "../spec/limits.js";
import { requireSoundPrivateKey, tooManyKeys } from "./asymmetric-key.js";

/**
 * The key of a line such as `ssh-rsa AAAA… comment`; in authorized_keys, options may precede it.
 */
const LINE = /(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-[\w@.-]+)\s+(AAAA[A-Za-z0-9+/]+={0,2})(?:\s|$)/;

const CURVES: ReadonlyMap<string, { crv: string; size: number }> = /* @__PURE__ */ new Map([
  ["ecdsa-sha2-nistp256", { crv: "P-256", size: 32 }],
  ["ecdsa-sha2-nistp384", { crv: "P-384", size: 48 }],
  ["ecdsa-sha2-nistp521", { crv: "P-521", size: 66 }],
]);

/** Whether a text is an OpenSSH public key, or a list of them such as authorized_keys. */
export function isOpenSshText(text: string): boolean {
  const [first] = keyLines(text);
  return first !== undefined && LINE.test(first);
}

function keyLines(text: string): string[] {
  const lines = text.split(/\r\n|\n|\r/, 10 * MAX_KEYS_PER_FILE).map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}

/**
 * Returns the public keys of lines in OpenSSH's format: RFC 4253 section 6.6 and RFC 5656 section
 * 3.1. A key that cannot be used is rejected, because skipping it would leave out its owner.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`
 */
export function readOpenSshPublicKeys(text: string): PlatformKey[] {
  const lines = keyLines(text);
  if (lines.length > MAX_KEYS_PER_FILE) throw tooManyKeys();
  return lines.map((line) => {
    const [, type, base64] = LINE.exec(line) ?? [];
    if (type === undefined || base64 === undefined) {
      throw unrecognizedKey(
        "a line of it is not an OpenSSH key; was one line broken into several?",
      );
    }
    requireUsableType(type);
    try {
      const reader = readerOf(fromBase64(base64));
      if (reader.text() !== type) throw new Error("another type");
      const jwk = publicJwk(type, reader);
      return importJwk(jwk, "public");
    } catch (cause) {
      throw unrecognizedKey("its OpenSSH public key is damaged or cut off", cause);
    }
  });
}

/**
 * Rejects types of keys that can sign but not decrypt, or that are not in the file that names them.
 */
function requireUsableType(type: string): void {
  if (type === "ssh-rsa" || CURVES.has(type)) return;
  const name = type.includes("ed25519") && !type.startsWith("sk-") ? "Ed25519" : type.slice(0, 60);
  const why = type.includes("-cert-")
    ? "it is an OpenSSH certificate; use the public key that it certifies"
    : `an OpenSSH key of type ${name} can sign but not decrypt; make one for decryption with ssh-keygen -t ecdsa -b 256`;
  throw new OcicryptError("KEY_UNSUPPORTED", why);
}

function publicJwk(type: string, reader: Reader): Record<string, string> {
  const curve = CURVES.get(type);
  if (curve === undefined) {
    const e = reader.integer();
    return { kty: "RSA", e: toBase64url(e), n: toBase64url(reader.integer()) };
  }
  reader.text(); // the curve's name, which the type has
  const point = reader.bytes();
  const { crv, size } = curve;
  if (point[0] !== 4 || point.byteLength !== 2 * size + 1) throw new Error("not a point");
  const [x, y] = [point.subarray(1, size + 1), point.subarray(size + 1)];
  return { kty: "EC", crv, x: toBase64url(x), y: toBase64url(y) };
}

/** An OpenSSH private key file: openssh/PROTOCOL.key. */
export interface OpenSshPrivateKey {
  isEncrypted: boolean;
  /**
   * Returns the key.
   *
   * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `PASSWORD_WRONG`
   */
  open(password: Uint8Array, signal?: AbortSignal): Promise<PlatformKey>;
  /** Returns the key of a file that is not encrypted. */
  read(): PlatformKey;
}

const MAGIC = "openssh-key-v1\0";

/**
 * Parses an OpenSSH private key file, except for the part that needs the password.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`
 */
export function parseOpenSshPrivateKey(bytes: Uint8Array): OpenSshPrivateKey {
  const { cipher, kdf, options, secret, tag } = parseContainer(bytes);
  const isEncrypted = cipher !== "none";
  return {
    isEncrypted,
    read: () => parseSecret(secret, damaged),
    async open(password, signal) {
      if (!isEncrypted) return parseSecret(secret, damaged);
      const { decryptOpenSsh } = await import("./encrypted.js");
      const encrypted = { cipher, kdf, options, secret, tag };
      const plaintext = await decryptOpenSsh(encrypted, password, signal);
      if (plaintext === undefined) throw wrongPassword();
      try {
        return parseSecret(plaintext, wrongPassword);
      } finally {
        plaintext.fill(0);
      }
    },
  };
}

function parseContainer(bytes: Uint8Array) {
  try {
    if (toLatin1(bytes.subarray(0, MAGIC.length)) !== MAGIC) throw new Error("no magic");
    const reader = readerOf(bytes.subarray(MAGIC.length));
    const [cipher, kdf, options] = [reader.text(), reader.text(), reader.bytes()];
    if (reader.count() !== 1) throw new Error("not one key");
    const type = readerOf(reader.bytes()).text();
    const secret = reader.bytes();
    requireUsableType(type);
    return { cipher, kdf, options, secret, tag: reader.rest() };
  } catch (error) {
    throw error instanceof OcicryptError ? error : damaged();
  }
}

/** @param mismatch returns the error for two different check numbers */
function parseSecret(secret: Uint8Array, mismatch: () => OcicryptError): PlatformKey {
  try {
    const reader = readerOf(secret);
    if (reader.count() !== reader.count()) throw mismatch();
    const type = reader.text();
    const jwk = CURVES.has(type) ? ecPrivateJwk(type, reader) : rsaPrivateJwk(reader);
    return requireSoundPrivateKey(importJwk(jwk, "private"));
  } catch (error) {
    throw error instanceof OcicryptError ? error : damaged();
  }
}

function ecPrivateJwk(type: string, reader: Reader): Record<string, string> {
  const jwk = publicJwk(type, reader);
  const d = reader.integer();
  const size = CURVES.get(type)?.size ?? 0;
  if (d.byteLength > size) throw new Error("too long");
  return { ...jwk, d: toBase64url(concat([new Uint8Array(size - d.byteLength), d])) };
}

/** RFC 7518 section 6.3.2 requires two exponents that this file format does not contain. */
function rsaPrivateJwk(reader: Reader): Record<string, string> {
  const [n, e, d] = [reader.integer(), reader.integer(), reader.integer()];
  const [qi, p, q] = [reader.integer(), reader.integer(), reader.integer()];
  const exponent = (prime: Uint8Array): Uint8Array => toBytes(toBigInt(d) % (toBigInt(prime) - 1n));
  const members = { n, e, d, p, q, dp: exponent(p), dq: exponent(q), qi };
  const texts = Object.entries(members).map(([name, value]) => [name, toBase64url(value)]);
  return { kty: "RSA", ...(Object.fromEntries(texts) as Record<string, string>) };
}

function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x0${toHex(bytes)}`);
}

function toBytes(value: bigint): Uint8Array {
  const hex = value.toString(16);
  return fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
}

/** The data types of RFC 4251 section 5, one after another. */
interface Reader {
  count(): number;
  bytes(): Uint8Array;
  text(): string;
  /** An mpint that is not negative, without the zero before its sign bit. */
  integer(): Uint8Array;
  rest(): Uint8Array;
}

function readerOf(bytes: Uint8Array): Reader {
  let offset = 0;
  const take = (size: number): Uint8Array => {
    if (size > bytes.byteLength - offset) throw new Error("cut off");
    offset += size;
    return bytes.subarray(offset - size, offset);
  };
  const count = (): number => {
    const [a = 0, b = 0, c = 0, d = 0] = take(4);
    return ((a * 256 + b) * 256 + c) * 256 + d;
  };
  const field = (): Uint8Array => take(count());
  return {
    count,
    bytes: field,
    text: () => toLatin1(field()),
    integer: () => {
      const value = field();
      return value[0] === 0 ? value.subarray(1) : value;
    },
    rest: () => bytes.subarray(offset),
  };
}

function damaged(): OcicryptError {
  return unrecognizedKey("its OpenSSH private key is damaged or cut off");
}

function wrongPassword(): OcicryptError {
  return new OcicryptError("PASSWORD_WRONG", "the password does not open the OpenSSH private key");
}
