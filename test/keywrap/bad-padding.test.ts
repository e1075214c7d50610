import {
  constants,
  createCipheriv,
  createHash,
  createPublicKey,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { isOcicryptError } from "../../src/errors.js";
import {
  encodeElement as element,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  SEQUENCE,
  SET,
} from "../../src/keys/der.js";
import { serializeBlob } from "../../src/keywrap/pkcs11/blob.js";
import { pkcs11 } from "../../src/keywrap/pkcs11/index.js";
import { pkcs7 } from "../../src/keywrap/pkcs7/index.js";
import type { Key } from "../../src/keywrap/types.js";
import { PRIVATE_OPTIONS, readKey, VALID_DATE } from "./pkcs7/files.js";

/** `npm run timing` has 500; the outcome shows in a few. */
const ROUNDS = Number(process.env.OCICRYPT_TIMING_ROUNDS ?? 3);

const privateKey = readKey("rsa2048.pkcs8.pem");
const publicKey = createPublicKey(privateKey);
const CONTENT_KEY = Buffer.alloc(16, 5);
const SIZE = 256;

beforeAll(() => void vi.useFakeTimers({ toFake: ["Date"], now: VALID_DATE }));
afterAll(() => void vi.useRealTimers());

/** Encoded blocks by what is wrong with them; each call makes another one. */
type Kinds = Record<string, () => Buffer>;

function nonzero(length: number): Buffer {
  return randomBytes(length).map((byte) => byte || 1) as Buffer;
}

/** RFC 8017 section 7.2: 0x00 0x02 PS 0x00 M. */
function pkcs1(message: Buffer, change: (block: Buffer) => void = () => undefined): Buffer {
  const padding = nonzero(SIZE - 3 - message.byteLength);
  const block = Buffer.concat([Buffer.of(0, 2), padding, Buffer.of(0), message]);
  change(block);
  return block;
}

const PKCS1_KINDS: Kinds = {
  "a key of another size": () => pkcs1(randomBytes(24)),
  "no key": () => pkcs1(Buffer.alloc(0)),
  "another first byte": () => pkcs1(CONTENT_KEY, (block) => (block[0] = 1)),
  "another type": () => pkcs1(CONTENT_KEY, (block) => (block[1] = 1)),
  "short padding": () => pkcs1(CONTENT_KEY, (block) => (block[5] = 0)),
  "no separator": () => pkcs1(CONTENT_KEY, (block) => (block[SIZE - 17] = 7)),
  "another key": () => pkcs1(nonzero(16)),
};

/** RFC 8017 section 7.1.1, with a change before the masks are applied. */
function oaep(
  hash: string,
  message: Buffer,
  change: (data: Buffer) => void = () => undefined,
  first = 0,
): Buffer {
  const length = createHash(hash).digest().byteLength;
  const data = Buffer.alloc(SIZE - length - 1);
  data.set(createHash(hash).digest());
  data[data.byteLength - message.byteLength - 1] = 1;
  data.set(message, data.byteLength - message.byteLength);
  change(data);
  const seed = randomBytes(length);
  const maskedData = xor(data, mask(hash, seed, data.byteLength));
  const maskedSeed = xor(seed, mask(hash, maskedData, length));
  return Buffer.concat([Buffer.of(first), maskedSeed, maskedData]);
}

function mask(hash: string, seed: Buffer, length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 20) }, (_, i) =>
    createHash(hash)
      .update(seed)
      .update(Buffer.of(0, 0, 0, i))
      .digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, i) => byte ^ b[i]!));

function oaepKinds(hash: string, message: Buffer): Kinds {
  const size = createHash(hash).digest().byteLength;
  return {
    "another first byte": () => oaep(hash, message, undefined, 1),
    "another label": () => oaep(hash, message, (data) => (data[0] = data[0]! ^ 1)),
    "padding that is not zero": () => oaep(hash, message, (data) => (data[size] = 2)),
    "no separator": () => oaep(hash, message, (data) => data.fill(0, size)),
    "random bytes": () => Buffer.concat([Buffer.of(0), randomBytes(SIZE - 1)]),
  };
}

function encryptRaw(block: Buffer): Buffer {
  // The first byte alone could make the number larger than the modulus.
  return publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, block);
}

const oid = (hex: string): Uint8Array => element(OBJECT_IDENTIFIER, Buffer.from(hex, "hex"));

/** A PKCS#7 message whose content is encrypted with {@link CONTENT_KEY}. */
function message(algorithm: Uint8Array, encryptedKey: Buffer): Uint8Array {
  const nonce = Buffer.alloc(12, 6);
  const cipher = createCipheriv("aes-128-gcm", CONTENT_KEY, nonce);
  const content = [cipher.update(PRIVATE_OPTIONS), cipher.final(), cipher.getAuthTag()];
  const recipient = element(
    SEQUENCE,
    element(INTEGER, Buffer.of(2)),
    element(0x80, Buffer.from("d1daf2a2e62a3be170233d7df83f38ef05a7a31a", "hex")),
    algorithm,
    element(OCTET_STRING, encryptedKey),
  );
  const parameters = element(
    SEQUENCE,
    element(OCTET_STRING, nonce),
    element(INTEGER, Buffer.of(16)),
  );
  const encrypted = element(
    SEQUENCE,
    oid("2a864886f70d010701"),
    element(SEQUENCE, oid("608648016503040106"), parameters),
    element(0x80, ...content),
  );
  const data = element(
    SEQUENCE,
    element(INTEGER, Buffer.of(0)),
    element(SET, recipient),
    encrypted,
  );
  return element(SEQUENCE, oid("2a864886f70d010703"), element(0xa0, data));
}

const RSA = element(SEQUENCE, oid("2a864886f70d010101"));
const OAEP = element(SEQUENCE, oid("2a864886f70d010107"), element(SEQUENCE));

interface Scheme {
  name: string;
  key: () => Key | Promise<Key>;
  good: () => Uint8Array;
  bad: Record<string, () => Uint8Array>;
}

const wrapKinds = (kinds: Kinds, wrap: (block: Buffer) => Uint8Array): Scheme["bad"] =>
  Object.fromEntries(Object.entries(kinds).map(([kind, make]) => [kind, () => wrap(make())]));

const pkcs7Key = (): Key => pkcs7.key(privateKey, { certificate: readKey("cert-rsa2048.pem") });
const inPkcs7 =
  (algorithm: Uint8Array) =>
  (block: Buffer): Uint8Array =>
    message(algorithm, encryptRaw(block));
const inPkcs11 = (block: Buffer): Uint8Array =>
  serializeBlob({ hash: "sha1", ciphertext: encryptRaw(block) });

const SCHEMES: Scheme[] = [
  {
    name: "PKCS#7 with RSAES-PKCS1-v1_5",
    key: pkcs7Key,
    good: () => inPkcs7(RSA)(pkcs1(CONTENT_KEY)),
    bad: wrapKinds(PKCS1_KINDS, inPkcs7(RSA)),
  },
  {
    name: "PKCS#7 with RSAES-OAEP",
    key: pkcs7Key,
    good: () => inPkcs7(OAEP)(oaep("sha1", CONTENT_KEY)),
    bad: wrapKinds(oaepKinds("sha1", CONTENT_KEY), inPkcs7(OAEP)),
  },
  {
    name: "PKCS#11 in software",
    key: () => pkcs11.key(privateKey),
    good: () => inPkcs11(oaep("sha1", PRIVATE_OPTIONS)),
    bad: wrapKinds(oaepKinds("sha1", PRIVATE_OPTIONS), inPkcs11),
  },
];

interface Ending {
  /** Everything that a caller can tell. */
  outcome: string;
  microseconds: number;
}

async function attempt(key: Key, wrapped: Uint8Array): Promise<Ending> {
  const start = process.hrtime.bigint();
  let outcome: string;
  try {
    outcome = (await key.unwrap(wrapped)) === null ? "null" : "opened";
  } catch (error) {
    if (!isOcicryptError(error)) throw error;
    outcome = `${error.code}: ${error.message}`;
  }
  return { outcome, microseconds: Number(process.hrtime.bigint() - start) / 1000 };
}

/** The median and the quartiles. */
function summary(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): string =>
    String(Math.round(sorted[Math.floor(part * sorted.length)]!));
  return `${at(0.5)} µs (${at(0.25)} to ${at(0.75)})`;
}

describe.each(SCHEMES)("$name", ({ name, key: makeKey, good, bad }) => {
  it("opens wrapped keys with correct padding", async () => {
    expect((await attempt(await makeKey(), good())).outcome).toBe("opened");
  });

  it("has the same outcome for every wrong padding", async () => {
    const key = await makeKey();
    const outcomes = new Set<string>();
    const times: Record<string, number[]> = {};
    for (let round = 0; round < ROUNDS; round++) {
      // In turn, so that what else the machine does falls on all kinds.
      for (const [kind, make] of Object.entries(bad)) {
        const { outcome, microseconds } = await attempt(key, make());
        outcomes.add(outcome);
        (times[kind] ??= []).push(microseconds);
      }
    }
    expect([...outcomes]).toHaveLength(1);
    expect([...outcomes]).not.toContain("opened");
    if (process.env.OCICRYPT_TIMING_ROUNDS === undefined) return;
    const lines = Object.entries(times).map(([kind, each]) => `  ${kind}: ${summary(each)}`);
    console.log([`${name}, Node.js ${process.versions.node}`, ...lines].join("\n"));
  }, 600_000);
});
