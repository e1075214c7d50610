import {
  BIT_STRING,
  type DerElement,
  encodeElement,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  readElements,
  readOnly,
  SEQUENCE,
} from "../../keys/der.js";
import { xorMask } from "../../keys/oaep.js";
import type { HashName } from "../types.js";
import { fromHex, toHex } from "./bytes.js";
import { add, CURVES, multiply, type Point } from "./curves.js";
import { createAnyHash } from "./any-hash.js";
import { type Jwk, numberOf, type PlatformKey } from "./key-der.js";
import { inverse, power, sizeOf, toBigInt, toBytes } from "./numbers.js";

/** The object identifiers of signature algorithms: RFC 4055 section 5, RFC 5758 section 3. */
const ALGORITHMS: ReadonlyMap<string, ["RSA" | "EC", HashName]> = /* @__PURE__ */ new Map([
  ["2a864886f70d010105", ["RSA", "sha1"]],
  ["2a864886f70d01010e", ["RSA", "sha224"]],
  ["2a864886f70d01010b", ["RSA", "sha256"]],
  ["2a864886f70d01010c", ["RSA", "sha384"]],
  ["2a864886f70d01010d", ["RSA", "sha512"]],
  ["2a8648ce3d0401", ["EC", "sha1"]],
  ["2a8648ce3d040301", ["EC", "sha224"]],
  ["2a8648ce3d040302", ["EC", "sha256"]],
  ["2a8648ce3d040303", ["EC", "sha384"]],
  ["2a8648ce3d040304", ["EC", "sha512"]],
]);
const RSASSA_PSS = "2a864886f70d01010a";
const HASHES: ReadonlyMap<string, HashName> = /* @__PURE__ */ new Map([
  ["2b0e03021a", "sha1"],
  ["608648016503040204", "sha224"],
  ["608648016503040201", "sha256"],
  ["608648016503040202", "sha384"],
  ["608648016503040203", "sha512"],
]);
const MAX_EXPONENT = 2n ** 32n;

/**
 * Whether a certificate is signed with a key. Web Cryptography could answer only later, and the
 * answer only sorts the certificates of a bundle: nobody is trusted for it. An algorithm that is not
 * known here counts as right, so that the issuer's name decides.
 */
export function isSignedBy(certificate: Uint8Array, key: PlatformKey): boolean {
  const jwk = key.material as Jwk | undefined;
  if (jwk === undefined) return true;
  try {
    const [tbs, algorithm, bits] = readElements(readOnly(certificate, SEQUENCE));
    const [id, parameters] = readElements(algorithm?.contents ?? new Uint8Array());
    if (tbs === undefined || id === undefined || bits?.tag !== BIT_STRING) return false;
    const signature = bits.contents.subarray(1);
    const oid = toHex(id.contents);
    if (oid === RSASSA_PSS) {
      const hash = pssHash(parameters);
      return hash === undefined || isPss(jwk, hash, digest(hash, tbs.encoding), signature);
    }
    const [type, hash] = ALGORITHMS.get(oid) ?? [];
    if (hash === undefined) return true;
    const hashed = digest(hash, tbs.encoding);
    if (jwk.kty !== type) return false;
    return type === "RSA" ? isPkcs1(jwk, hash, hashed, signature) : isEcdsa(jwk, hashed, signature);
  } catch {
    return false;
  }
}

function digest(hash: HashName, bytes: Uint8Array): Uint8Array {
  return createAnyHash(hash).update(bytes).digest();
}

/** RSAVP1: RFC 8017 section 5.2.2. */
function recover({ n, e }: Jwk, signature: Uint8Array): { encoded: Uint8Array; bits: number } {
  const [modulus, exponent] = [numberOf(n), numberOf(e)];
  if (exponent > MAX_EXPONENT) throw new Error("the exponent is too large");
  const encoded = power(toBigInt(signature), exponent, modulus);
  return { encoded: toBytes(encoded, sizeOf(modulus)), bits: modulus.toString(2).length };
}

/** EMSA-PKCS1-v1_5: RFC 8017 section 9.2. */
function isPkcs1(jwk: Jwk, name: HashName, hash: Uint8Array, signature: Uint8Array): boolean {
  const { encoded } = recover(jwk, signature);
  const oid = [...HASHES].find(([, each]) => each === name)?.[0] ?? "";
  const algorithm = [encodeElement(OBJECT_IDENTIFIER, fromHex(oid)), Uint8Array.of(5, 0)];
  const info = encodeElement(
    SEQUENCE,
    encodeElement(SEQUENCE, ...algorithm),
    encodeElement(OCTET_STRING, hash),
  );
  const expected = new Uint8Array(encoded.byteLength).fill(0xff);
  expected.set([0, 1]);
  expected[encoded.byteLength - info.byteLength - 1] = 0;
  expected.set(info, encoded.byteLength - info.byteLength);
  return toHex(encoded) === toHex(expected);
}

/** RSASSA-PSS-params: RFC 8017 appendix A.2.3. @returns `undefined` for an unknown hash */
function pssHash(parameters: DerElement | undefined): HashName | undefined {
  const members = parameters?.tag === SEQUENCE ? readElements(parameters.contents) : [];
  const explicit = members.find(({ tag }) => tag === 0xa0);
  if (explicit === undefined) return "sha1";
  const [id] = readElements(readOnly(explicit.contents, SEQUENCE));
  return HASHES.get(toHex(id?.contents ?? new Uint8Array()));
}

/** EMSA-PSS-VERIFY of RFC 8017 section 9.1.2, with a salt of any length. */
function isPss(jwk: Jwk, name: HashName, hash: Uint8Array, signature: Uint8Array): boolean {
  const { encoded, bits } = recover(jwk, signature);
  const size = Math.ceil((bits - 1) / 8);
  const message = encoded.subarray(encoded.byteLength - size);
  const block = message.subarray(0, size - hash.byteLength - 1);
  const expected = message.subarray(size - hash.byteLength - 1, size - 1);
  xorMask(block, expected, name);
  block[0] = (block[0] ?? 0) & (0xff >> (8 * size - bits + 1));
  const start = block.findIndex((byte) => byte !== 0);
  if (message.at(-1) !== 0xbc || block[start] !== 1) return false;
  const salt = block.subarray(start + 1);
  const again = createAnyHash(name).update(new Uint8Array(8)).update(hash).update(salt).digest();
  return toHex(again) === toHex(expected);
}

/** FIPS 186-5 section 6.4.2. */
function isEcdsa({ crv, x, y }: Jwk, hash: Uint8Array, signature: Uint8Array): boolean {
  const curve = CURVES.find(({ name }) => name === crv);
  if (curve === undefined) return true;
  const { order } = curve;
  const [r = 0n, s = 0n] = readElements(readOnly(signature, SEQUENCE)).map(({ contents }) =>
    toBigInt(contents),
  );
  if (r === 0n || s === 0n || r >= order || s >= order) return false;
  const bits = order.toString(2).length;
  const number = toBigInt(hash) >> BigInt(Math.max(0, 8 * hash.byteLength - bits));
  const w = inverse(s, order);
  const key: Point = { x: numberOf(x), y: numberOf(y) };
  const sum = add(
    curve,
    multiply(curve, (number * w) % order),
    multiply(curve, (r * w) % order, key),
  );
  return sum.x % order === r;
}
