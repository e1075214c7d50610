import { createCipheriv, createHmac, pbkdf2Sync, type KeyObject } from "node:crypto";
import { encodeElement as element } from "../../src/keys/der.js";

/** Builds PKCS #12 files that no program writes, part by part. */

export const PASSWORD = "secret";

export const sequence = (...parts: Uint8Array[]): Uint8Array => element(0x30, ...parts);
export const set = (...parts: Uint8Array[]): Uint8Array => element(0x31, ...parts);
export const octets = (bytes: Uint8Array): Uint8Array => element(0x04, bytes);
/** [0] EXPLICIT, or [0] IMPLICIT with parts. */
export const tagged = (...parts: Uint8Array[]): Uint8Array => element(0xa0, ...parts);
/** [0] IMPLICIT OCTET STRING. */
export const implicit = (bytes: Uint8Array): Uint8Array => element(0x80, bytes);

export function integer(value: number): Uint8Array {
  const hex = value.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  return element(0x02, Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, "hex"));
}

export function oid(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      groups.unshift((left & 0x7f) | 0x80);
    }
    return groups;
  });
  return element(0x06, Buffer.from(bytes));
}

const PKCS5 = "1.2.840.113549.1.5";
export const BAG = "1.2.840.113549.1.12.10.1";
export const DATA = "1.2.840.113549.1.7.1";
export const ENCRYPTED_DATA = "1.2.840.113549.1.7.6";
export const HMAC_SHA256 = "1.2.840.113549.2.9";
const AES_256_CBC = "2.16.840.1.101.3.4.1.42";
const SALT = Buffer.from("salt and pepper");
const IV = Buffer.alloc(16, 7);

export const algorithm = (id: string, ...parameters: Uint8Array[]): Uint8Array =>
  sequence(oid(id), ...parameters);

/** PBKDF2 with 10 iterations of HMAC with SHA-256, or with parameters as they are. */
export const pbkdf2 = (...parameters: Uint8Array[]): Uint8Array =>
  algorithm(
    `${PKCS5}.12`,
    sequence(
      ...(parameters.length > 0
        ? parameters
        : [octets(SALT), integer(10), integer(32), algorithm(HMAC_SHA256)]),
    ),
  );

export const pbes2 = (
  keyDerivation: Uint8Array = pbkdf2(),
  encryption: Uint8Array = algorithm(AES_256_CBC, octets(IV)),
): Uint8Array => algorithm(`${PKCS5}.13`, sequence(keyDerivation, encryption));

export function encrypt(plaintext: Uint8Array, password = PASSWORD, hash = "sha256"): Buffer {
  const key = pbkdf2Sync(password, SALT, 10, 32, hash);
  const cipher = createCipheriv("aes-256-cbc", key, IV);
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
}

export const bag = (kind: number, value: Uint8Array): Uint8Array =>
  sequence(oid(`${BAG}.${String(kind)}`), tagged(value));
export const keyBag = (key: KeyObject): Uint8Array =>
  bag(1, key.export({ type: "pkcs8", format: "der" }));
export const shroudedBag = (ciphertext: Uint8Array, encryption: Uint8Array = pbes2()): Uint8Array =>
  bag(2, sequence(encryption, octets(ciphertext)));
export const certificateBag = (der: Uint8Array, id = "1.2.840.113549.1.9.22.1"): Uint8Array =>
  bag(3, sequence(oid(id), tagged(octets(der))));

export const plainSafe = (...bags: Uint8Array[]): Uint8Array =>
  sequence(oid(DATA), tagged(octets(sequence(...bags))));
export const encryptedSafe = (content: Uint8Array, encryption: Uint8Array = pbes2()): Uint8Array =>
  sequence(
    oid(ENCRYPTED_DATA),
    tagged(sequence(integer(0), sequence(oid(DATA), encryption, content))),
  );

/** PBMAC1, which needs nothing but Node's functions. */
export function pbmac1(
  contents: Uint8Array,
  keyDerivation: Uint8Array = pbkdf2(),
  keySize = 32,
  id = HMAC_SHA256,
): Uint8Array {
  const key = pbkdf2Sync(PASSWORD, SALT, 10, keySize, "sha256");
  const mac = createHmac("sha256", key).update(contents).digest();
  const mechanism = algorithm(`${PKCS5}.14`, sequence(keyDerivation, algorithm(id)));
  return sequence(sequence(mechanism, octets(mac)), octets(new Uint8Array(0)));
}

export const pbmac1Derivation = (...keyLength: Uint8Array[]): Uint8Array =>
  pbkdf2(octets(SALT), integer(10), ...keyLength, algorithm(HMAC_SHA256));

/** A file with these parts in its AuthenticatedSafe. */
export function file(parts: readonly Uint8Array[], mac = pbmac1): Uint8Array {
  const contents = sequence(...parts);
  return pfx(tagged(octets(contents)), mac(contents));
}

export const pfx = (content: Uint8Array, mac: Uint8Array, version = 3, type = DATA): Uint8Array =>
  sequence(integer(version), sequence(oid(type), content), mac);
