import { constants, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  decryptContentKey,
  decryptPkcs1v15,
  readKeyTransport,
  type KeyTransport,
} from "../../../src/keywrap/pkcs7/key-transport.js";
import { keyTransportName } from "../../../src/keywrap/pkcs7/message.js";
import { readKey, readPrivateKey } from "./files.js";

const privateKey = readPrivateKey("rsa2048.pkcs8.pem");

// RFC 3218 section 2.3.2: a key that cannot be decrypted is replaced, so that no one learns why the
// message does not open. Were the substitute always the same, whoever made the message could tell.
it.each([
  ["RSAES-OAEP", { name: "RSAES-OAEP", hash: "sha256", label: new Uint8Array() }],
  ["RSAES-PKCS1-v1_5", { name: "RSAES-PKCS1-v1_5" }],
] as [string, KeyTransport][])(
  "substitutes another random key each time: %s",
  async (_, transport) => {
    const attempt = async (): Promise<string> => {
      const found = await decryptContentKey(transport, privateKey, randomBytes(256), 32);
      return Buffer.from(found).toString("hex");
    };
    const substitutes = new Set(await Promise.all(Array.from({ length: 4 }, attempt)));
    expect(substitutes.size).toBe(4);
    for (const substitute of substitutes) expect(substitute).toHaveLength(64);
  },
);

const publicKey = createPublicKey(readKey("rsa2048.pkcs8.pem"));
const MODULUS_SIZE = 256;
const KEY = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");

/** 00 02 PS 00 M of RFC 8017 section 7.2.1, changed before it is encrypted. */
function encrypt(change: (encoded: Buffer) => void, key = KEY): Buffer {
  const padding = Buffer.alloc(MODULUS_SIZE - 3 - key.byteLength, 0xa5);
  const encoded = Buffer.concat([Buffer.of(0, 2), padding, Buffer.of(0), key]);
  change(encoded);
  return publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, encoded);
}

describe("decryptPkcs1v15", () => {
  it.each([16, 24, 32])("returns a key of %i bytes", (size) => {
    const key = Buffer.alloc(size, 7);
    const encrypted = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, key);
    expect(Buffer.from(decryptPkcs1v15(privateKey, encrypted, size)).equals(key)).toBe(true);
  });

  const separator = MODULUS_SIZE - KEY.byteLength - 1;
  it.each<{ name: string; change: (encoded: Buffer) => void }>([
    { name: "a first byte that is not 0", change: (encoded) => encoded.writeUInt8(1, 0) },
    { name: "block type 1", change: (encoded) => encoded.writeUInt8(1, 1) },
    { name: "block type 0", change: (encoded) => encoded.writeUInt8(0, 1) },
    { name: "0 as the first byte of the padding", change: (encoded) => encoded.writeUInt8(0, 2) },
    {
      name: "0 as the last byte of the padding",
      change: (encoded) => encoded.writeUInt8(0, separator - 1),
    },
    { name: "no separator", change: (encoded) => encoded.writeUInt8(0x80, separator) },
  ])("returns a random key for $name", ({ change }) => {
    const encrypted = encrypt(change);
    const first = decryptPkcs1v15(privateKey, encrypted, KEY.byteLength);
    const second = decryptPkcs1v15(privateKey, encrypted, KEY.byteLength);
    expect(first).toHaveLength(KEY.byteLength);
    expect(Buffer.compare(first, KEY)).not.toBe(0);
    expect(Buffer.compare(first, second)).not.toBe(0);
  });

  it("returns the key if nothing was changed", () => {
    const encrypted = encrypt(() => undefined);
    expect(Buffer.from(decryptPkcs1v15(privateKey, encrypted, 16)).equals(KEY)).toBe(true);
  });

  it.each([
    { name: "a longer key", encrypted: encrypt(() => undefined, Buffer.alloc(32, 7)) },
    { name: "a shorter key", encrypted: encrypt(() => undefined, Buffer.alloc(8, 7)) },
    { name: "a number above the modulus", encrypted: Buffer.alloc(MODULUS_SIZE, 0xff) },
    { name: "too few bytes", encrypted: Buffer.alloc(MODULUS_SIZE - 1, 1) },
    { name: "too many bytes", encrypted: Buffer.alloc(MODULUS_SIZE + 1, 1) },
    { name: "no bytes", encrypted: Buffer.alloc(0) },
  ])("returns a random key of the requested size for $name", ({ encrypted }) => {
    const first = decryptPkcs1v15(privateKey, encrypted, 16);
    const second = decryptPkcs1v15(privateKey, encrypted, 16);
    expect(first).toHaveLength(16);
    expect(Buffer.compare(first, second)).not.toBe(0);
    expect(Buffer.compare(first, Buffer.alloc(16, 7))).not.toBe(0);
  });
});

/** Short definite lengths only; the tags are those of X.690. */
const der = (tag: number, ...contents: Buffer[]): Buffer => {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.of(tag, content.byteLength), content]);
};
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const sequence = (...contents: Buffer[]): Buffer => der(0x30, ...contents);
const oid = (content: string): Buffer => der(0x06, hex(content));

const RSA = oid("2a864886f70d010101");
const OAEP = oid("2a864886f70d010107");
const MGF1 = oid("2a864886f70d010108");
const P_SPECIFIED = oid("2a864886f70d010109");
const HASHES: readonly [name: string, id: Buffer][] = [
  ["sha1", oid("2b0e03021a")],
  ["sha224", oid("608648016503040204")],
  ["sha256", oid("608648016503040201")],
  ["sha384", oid("608648016503040202")],
  ["sha512", oid("608648016503040203")],
];
const [SHA_1, , SHA_256] = HASHES.map(([, id]) => id) as [Buffer, Buffer, Buffer];

const hash = (id: Buffer): Buffer => der(0xa0, sequence(id));
const mgf = (id: Buffer, name = MGF1): Buffer => der(0xa1, sequence(name, sequence(id)));
const label = (name = P_SPECIFIED, text = "label"): Buffer =>
  der(0xa2, sequence(name, der(0x04, Buffer.from(text))));

function read(...contents: Buffer[]): KeyTransport | undefined {
  return readKeyTransport(sequence(...contents));
}

// RFC 8017 section A.2.1
describe("readKeyTransport", () => {
  it("knows RSAES-PKCS1-v1_5", () => {
    expect(read(RSA, hex("0500"))).toEqual({ name: "RSAES-PKCS1-v1_5" });
  });

  it.each(HASHES)("reads OAEP with %s", (name, id) => {
    const expected = { name: "RSAES-OAEP", hash: name, label: new Uint8Array() };
    expect(read(OAEP, sequence(hash(id), mgf(id)))).toEqual(expected);
  });

  it("takes SHA-1 and an empty label for parameters that are left out", () => {
    const expected = { name: "RSAES-OAEP", hash: "sha1", label: new Uint8Array() };
    expect(read(OAEP, sequence())).toEqual(expected);
    expect(read(OAEP, sequence(hash(SHA_1)))).toEqual(expected);
    expect(read(OAEP, sequence(mgf(SHA_1)))).toEqual(expected);
  });

  it("reads the label", () => {
    const transport = read(OAEP, sequence(hash(SHA_256), mgf(SHA_256), label()));
    expect(transport).toMatchObject({ name: "RSAES-OAEP", hash: "sha256" });
    const { label: found } = transport as { label: Uint8Array };
    expect(Buffer.from(found).toString()).toBe("label");
  });

  it.each([
    ["two hashes", [OAEP, sequence(hash(SHA_256), mgf(SHA_1))]],
    ["a hash of its own in MGF1", [OAEP, sequence(mgf(SHA_256))]],
    ["an unknown hash", [OAEP, sequence(hash(oid("2a0304")), mgf(oid("2a0304")))]],
    ["another function than MGF1", [OAEP, sequence(hash(SHA_1), mgf(SHA_1, oid("2a0304")))]],
    ["another source of the label", [OAEP, sequence(label(oid("2a0304")))]],
    ["a field that does not exist", [OAEP, sequence(der(0xa3, sequence(P_SPECIFIED)))]],
    ["a field without its tag", [OAEP, sequence(sequence(MGF1, sequence(SHA_1)))]],
    ["the name of MGF1 in the place of the label", [OAEP, sequence(label(MGF1))]],
    ["no parameters", [OAEP]],
    ["parameters that are null", [OAEP, hex("0500")]],
    ["another algorithm", [oid("2a0304"), sequence()]],
  ])("rejects %s", (_, contents) => {
    expect(read(...contents)).toBeUndefined();
  });
});

describe("keyTransportName", () => {
  // RFC 8017 appendix A.2
  it.each([
    ["RSAES-PKCS1-v1_5", "1.2.840.113549.1.1.1"],
    ["RSAES-OAEP", "1.2.840.113549.1.1.7"],
    ["1.2.3.4", "1.2.3.4"],
  ])("returns %s", (expected, algorithmId) => {
    expect(keyTransportName({ algorithmId })).toBe(expected);
  });

  it("cuts long identifiers, which anyone may write", () => {
    const algorithmId = `1.2.${"3".repeat(100)}`;
    expect(keyTransportName({ algorithmId })).toBe(algorithmId.slice(0, 40));
  });
});

describe("decryptContentKey with OAEP", () => {
  const transport = { name: "RSAES-OAEP", hash: "sha256", label: Buffer.from("label") } as const;
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const wrapped = publicEncrypt(
    { key: publicKey, padding, oaepHash: "sha256", oaepLabel: transport.label },
    KEY,
  );
  const open = async (used: KeyTransport, size = 16): Promise<Buffer> =>
    Buffer.from(await decryptContentKey(used, privateKey, wrapped, size));

  it("returns the key", async () => {
    expect((await open(transport)).equals(KEY)).toBe(true);
  });

  it.each<[string, KeyTransport, number]>([
    ["another size", transport, 32],
    ["another label", { ...transport, label: Buffer.from("other") }, 16],
    ["another hash", { ...transport, hash: "sha1" }, 16],
  ])("returns a random key for %s", async (_, other, size) => {
    const [first, second] = [await open(other, size), await open(other, size)];
    expect(first).toHaveLength(size);
    expect(first.equals(second)).toBe(false);
    expect(first.subarray(0, 16).equals(KEY)).toBe(false);
  });
});
