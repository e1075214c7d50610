import { randomBytes } from "#engine/hash";
import type { PlatformKey } from "#engine/keys";
import { decryptOaep, decryptRaw } from "#engine/rsa";
import { AlgorithmIdentifier } from "pkijs";
import type { HashName, OaepParameters } from "../../engine/types.js";
import { childrenOf, hasContextTag, octetsOf, parseBer } from "../../keys/asn1.js";
import { MAX_CMS_NODES } from "../../spec/limits.js";
import { attempt, RSA_ENCRYPTION, RSAES_OAEP } from "./message.js";

/** How the content's key is encrypted for a recipient. */
export type KeyTransport = { name: "RSAES-PKCS1-v1_5" } | ({ name: "RSAES-OAEP" } & OaepParameters);

const MGF1 = "1.2.840.113549.1.1.8";
const P_SPECIFIED = "1.2.840.113549.1.1.9";
const SHA_1 = "1.3.14.3.2.26";

const HASHES: ReadonlyMap<string, HashName> = /* @__PURE__ */ new Map([
  [SHA_1, "sha1"],
  ["2.16.840.1.101.3.4.2.4", "sha224"],
  ["2.16.840.1.101.3.4.2.1", "sha256"],
  ["2.16.840.1.101.3.4.2.2", "sha384"],
  ["2.16.840.1.101.3.4.2.3", "sha512"],
]);

/**
 * Reads an AlgorithmIdentifier in BER.
 *
 * @returns `undefined` for an algorithm, or parameters of it, that cannot be used
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function readKeyTransport(encoding: Uint8Array): KeyTransport | undefined {
  const algorithm = attempt(
    () => new AlgorithmIdentifier({ schema: parseBer(encoding, MAX_CMS_NODES) }),
  );
  switch (algorithm.algorithmId) {
    case RSA_ENCRYPTION:
      return { name: "RSAES-PKCS1-v1_5" };
    case RSAES_OAEP:
      try {
        return readOaep(algorithm.algorithmParams);
      } catch {
        return undefined;
      }
    default:
      return undefined;
  }
}

/**
 * Decrypts the content's key. It always returns one of the given size, and a random one if the
 * padding is wrong: then the content fails to decrypt, and an attacker learns nothing else from many
 * such failures (RFC 3218 section 2.3.2).
 */
export async function decryptContentKey(
  transport: KeyTransport,
  key: PlatformKey,
  encryptedKey: Uint8Array,
  size: number,
): Promise<Uint8Array> {
  if (transport.name === "RSAES-PKCS1-v1_5") return decryptPkcs1v15(key, encryptedKey, size);
  const substitute = randomBytes(size);
  const decrypted = await decryptOaep(key, encryptedKey, transport);
  return decrypted?.byteLength === size ? decrypted : substitute;
}

/**
 * RSAES-OAEP-params: RFC 8017 section A.2.1. Read here because pkijs takes the hash of an empty
 * label for the default label.
 */
function readOaep(parameters: unknown): KeyTransport | undefined {
  let hashId = SHA_1;
  let mgf1HashId = SHA_1;
  let label: Uint8Array = new Uint8Array();
  for (const field of childrenOf(parameters)) {
    const algorithm = new AlgorithmIdentifier({ schema: childrenOf(field)[0] });
    const { algorithmId } = algorithm;
    const algorithmParams: unknown = algorithm.algorithmParams;
    if (hasContextTag(field, 0)) {
      hashId = algorithmId;
    } else if (hasContextTag(field, 1) && algorithmId === MGF1) {
      mgf1HashId = new AlgorithmIdentifier({ schema: algorithmParams }).algorithmId;
    } else if (hasContextTag(field, 2) && algorithmId === P_SPECIFIED) {
      label = octetsOf(algorithmParams);
    } else {
      return undefined;
    }
  }
  const hash = HASHES.get(hashId);
  // Node.js has one setting for both hashes.
  return hash !== undefined && mgf1HashId === hashId
    ? { name: "RSAES-OAEP", hash, label }
    : undefined;
}

/**
 * Decrypts a key of a known size with RSAES-PKCS1-v1_5 (RFC 8017 section 7.2.2) and returns a random
 * key instead of an error. Node.js 20 rejects this padding for private keys (CVE-2023-46809), and
 * the OpenSSL of later versions returns random bytes of a random length, so it is removed here.
 * Web Cryptography does not have it at all.
 *
 * @param size of the key in bytes, at least 11 less than the modulus
 */
export function decryptPkcs1v15(key: PlatformKey, encrypted: Uint8Array, size: number): Uint8Array {
  const substitute = randomBytes(size);
  const encoded = decryptRaw(key, encrypted);
  // The ciphertext is not less than the modulus, which anyone can see.
  if (encoded === undefined) return substitute;
  // EM = 0x00 || 0x02 || PS || 0x00 || M. Nothing branches on any of it.
  const start = encoded.byteLength - size;
  let wrong = byteAt(encoded, 0) | (byteAt(encoded, 1) ^ 2) | byteAt(encoded, start - 1);
  for (let i = 2; i < start - 1; i++) wrong |= isZero(byteAt(encoded, i));
  const mask = (isZero(wrong) - 1) & 0xff; // 0xff when wrong
  const result = substitute.map((byte, i) => (byteAt(encoded, start + i) & ~mask) | (byte & mask));
  encoded.fill(0);
  return result;
}

/** 1 for 0, and 0 for 1 to 255. */
function isZero(byte: number): number {
  return (byte - 1) >>> 31;
}

function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
