import { decodeOaep } from "../../keys/oaep.js";
import type { Bytes, HashName, RsaEngine } from "../types.js";
import { randomBytes } from "./hash.js";
import { type Jwk, numberOf, type PlatformKey, RSA_MEMBERS } from "./key-der.js";
import { isKeyObject } from "./keys.js";
import { inverse, modulo, power, sizeOf, toBigInt, toBytes } from "./numbers.js";

/*
 * Web Cryptography has neither RSA without padding nor PKCS#1 v1.5 encryption, so BigInt computes
 * them. The time of its operations depends on their values. Therefore the ciphertext and the
 * exponents are blinded with new random numbers for each message, which hides the key from an
 * attacker who measures many messages. This is not constant time.
 */

type Engine = RsaEngine<PlatformKey>;

/** The members of a private key: RFC 8017 section 3.2. */
type Numbers = Readonly<Record<(typeof RSA_MEMBERS)[number], bigint>>;

/** Of an exponent's blinding, in bytes. */
const BLINDING_SIZE = 8;
const MAX_BLINDING_ATTEMPTS = 8;

export const hasNumbers: Engine["hasNumbers"] = ({ material }) =>
  material !== undefined && !isKeyObject(material);

export const decryptRaw: Engine["decryptRaw"] = (key, ciphertext) => {
  try {
    const numbers = numbersOf(key.material as Jwk);
    const input = toBigInt(ciphertext);
    if (input >= numbers.n) return undefined;
    return toBytes(decryptBlinded(numbers, input), ciphertext.byteLength);
  } catch {
    // The numbers are not those of a key.
    return undefined;
  }
};

function numbersOf(jwk: Jwk): Numbers {
  const members = RSA_MEMBERS.map((name) => [name, numberOf(jwk[name])] as const);
  const numbers = Object.fromEntries(members) as Numbers;
  // Larger ones would only take longer.
  if (members.slice(1).some(([, value]) => value >= numbers.n)) throw new Error("not a key");
  return numbers;
}

function decryptBlinded(numbers: Numbers, input: bigint): bigint {
  const { n, e } = numbers;
  for (let i = 0; i < MAX_BLINDING_ATTEMPTS; i++) {
    const factor = randomBelow(n);
    const unblind = inverse(factor, n);
    if ((factor * unblind) % n !== 1n) continue;
    const blinded = (input * power(factor, e, n)) % n;
    return (decryptNumber(numbers, blinded) * unblind) % n;
  }
  throw new Error("not a key");
}

/** RSADP with the Chinese remainder theorem: RFC 8017 section 5.1.2, step 2b. */
function decryptNumber({ n, e, d, p, q, dp, dq, qi }: Numbers, input: bigint): bigint {
  const first = power(input % p, blindExponent(dp, p), p);
  const second = power(input % q, blindExponent(dq, q), q);
  const result = second + q * modulo((first - second) * qi, p);
  // As in OpenSSL, a key whose members do not fit each other is used without them.
  return power(result, e, n) === input ? result : power(input, d, n);
}

/** Adds a random multiple of the order of the multiplicative group of a prime. */
function blindExponent(exponent: bigint, prime: bigint): bigint {
  return exponent + toBigInt(randomBytes(BLINDING_SIZE)) * (prime - 1n);
}

function randomBelow(limit: bigint): bigint {
  // With eight more bytes, no number is noticeably more likely than another.
  return toBigInt(randomBytes(sizeOf(limit) + 8)) % limit;
}

/** The hashes that Web Cryptography has for RSA-OAEP. */
const OAEP_HASHES: ReadonlyMap<HashName, string> = /* @__PURE__ */ new Map([
  ["sha1", "SHA-1"],
  ["sha256", "SHA-256"],
  ["sha384", "SHA-384"],
  ["sha512", "SHA-512"],
]);

/** By Web Cryptography if it takes the hash and the key. */
export const decryptOaep: Engine["decryptOaep"] = async (key, ciphertext, parameters) => {
  const hash = OAEP_HASHES.get(parameters.hash);
  const name = "RSA-OAEP";
  const native =
    hash &&
    (await crypto.subtle
      .importKey("jwk", key.material as Jwk, { name, hash }, false, ["decrypt"])
      .catch(() => undefined));
  if (native) {
    const algorithm = { name, label: Uint8Array.from(parameters.label) };
    return crypto.subtle.decrypt(algorithm, native, Uint8Array.from(ciphertext)).then(
      (message) => new Uint8Array(message),
      () => undefined,
    );
  }
  const encoded = decryptRaw(key, ciphertext);
  return (encoded && decodeOaep(encoded, parameters)) ?? undefined;
};

export const encryptPkcs1: Engine["encryptPkcs1"] = ({ material }, message) => {
  const { n, e } = material as Jwk;
  const modulus = numberOf(n);
  const size = sizeOf(modulus);
  // EM = 0x00 || 0x02 || PS || 0x00 || M, where no byte of PS is 0.
  const encoded: Bytes = new Uint8Array(size);
  encoded[1] = 2;
  for (let at = 2; at < size - message.byteLength - 1;) {
    const [byte = 0] = randomBytes(1);
    if (byte !== 0) encoded[at++] = byte;
  }
  encoded.set(message, size - message.byteLength);
  const encrypted = toBytes(power(toBigInt(encoded), numberOf(e), modulus), size);
  encoded.fill(0);
  return encrypted;
};
