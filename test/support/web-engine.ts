import { beforeEach, expect } from "vitest";

// The web engine returns plain `Uint8Array`, and expected values are often a `Buffer`.
expect.addEqualityTesters([
  function equalBytes(a: unknown, b: unknown): boolean | undefined {
    if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return undefined;
    return Buffer.compare(a, b) === 0;
  },
]);

const NO_CIPHER = "Web Cryptography lacks the cipher: KEY_UNSUPPORTED";

const OTHER_SCHEME = "the engine for browsers has only JWE, PKCS#7 and OpenPGP";

const NO_PROGRAM = "a browser reaches no files, programs or key servers";

const NODE_ENGINE = "the engine for Node.js, which has its own tests";

const NO_FILES = "browsers store large content in blobs; see the tests of src/io/blobs.ts";

/** Tests of what browsers lack, by parts of their names. */
const LACKING: readonly (readonly [RegExp, string])[] = [
  [/3des|des3|2des|legacy|enc-v1|aes-128\.p12|a key with a shorter IV/, NO_CIPHER],
  [/aria-256|camellia-|des-ede3-cbc|rc[24]-key|the part that it cannot read/, NO_CIPHER],
  [/an RSA key for PKCS#11|wraps for pkcs11|a PKCS#11 key file|PKCS#11 in software/, OTHER_SCHEME],
  [/keeps everything except recipients of known schemes/, OTHER_SCHEME],
  [/reports the removed and the kept recipients|treats the provider of a/, OTHER_SCHEME],
  [/names providers|names age keys|provider:attestation-agent|rejects "provider:./, NO_PROGRAM],
  [/keysFromText reads a directory/, NO_PROGRAM],
  [/three_primes/, "keys of more than two primes are KEY_UNSUPPORTED"],
  [/is written with a key that is wiped then/, "the ciphers wipe the arrays that they make, too"],
  [/are one recipient if .* PKCS #11/, OTHER_SCHEME],
  [/returns the recipients of the encrypted layers without reading a blob/, OTHER_SCHEME],
  [/the engine for (?:node |Node\.js reads zstd)/, NODE_ENGINE],
  [/the key ring of gpg/, NO_PROGRAM],
  [/a file without a name|names the place where it cannot write|that the disk is full/, NO_FILES],
  [/keys that JWE cannot use but other schemes may/, "only described, because nothing uses them"],
];

beforeEach(({ task, skip }) => {
  const name = `${task.suite?.name ?? ""} ${task.name}`;
  const [, reason] = LACKING.find(([pattern]) => pattern.test(name)) ?? [];
  if (reason !== undefined) skip(reason);
});
