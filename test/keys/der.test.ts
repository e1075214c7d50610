import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { derKind, type DerKind } from "../../src/keys/der.js";
import { ecPair } from "../support/keys.js";
import { vectorFile } from "../support/vectors.js";

const fromPem = (path: string): Buffer =>
  Buffer.from(
    vectorFile(path)
      .toString()
      .replaceAll(/-----[^-]+-----|\s/g, ""),
    "base64",
  );
const fixture = (name: string): Buffer =>
  readFileSync(new URL(`fixtures/${name}`, import.meta.url));

const FILES: [string, Buffer, DerKind][] = [
  ["rsa2048.pkcs1.der", vectorFile("peers/keys/rsa2048.pkcs1.der"), "pkcs1-private"],
  ["rsa2048.pkcs8.der", vectorFile("peers/keys/rsa2048.pkcs8.der"), "pkcs8"],
  ["ec256.sec1.der", vectorFile("peers/keys/ec256.sec1.der"), "sec1"],
  ["rsa2048.pub.der", vectorFile("peers/keys/rsa2048.pub.der"), "spki"],
  ["cert-rsa2048.der", vectorFile("peers/keys/cert-rsa2048.der"), "certificate"],
  ["cert-ec256.pem", fromPem("peers/keys/cert-ec256.pem"), "certificate"],
  ["ec521.pkcs8.pem", fromPem("peers/keys/ec521.pkcs8.pem"), "pkcs8"],
  ["ec256.pub.pem", fromPem("peers/keys/ec256.pub.pem"), "spki"],
  ["rsa2048.pkcs1pub.pem", fromPem("peers/keys/rsa2048.pkcs1pub.pem"), "pkcs1-public"],
  ["rsa2048.pkcs8.enc-v1.pem", fromPem("peers/keys/rsa2048.pkcs8.enc-v1.pem"), "encrypted-pkcs8"],
  ["rsa2048.pkcs8.enc-v2.pem", fromPem("peers/keys/rsa2048.pkcs8.enc-v2.pem"), "encrypted-pkcs8"],
  ["key-and-certificate.p12", fixture("key-and-certificate.p12"), "pkcs12"],
];

describe("derKind", () => {
  it.each(FILES)("%s", (_, bytes, kind) => {
    expect(derKind(bytes)).toBe(kind);
  });

  it("what Node exports", () => {
    const { publicKey, privateKey } = ecPair();
    expect(derKind(publicKey.export({ type: "spki", format: "der" }))).toBe("spki");
    expect(derKind(privateKey.export({ type: "sec1", format: "der" }))).toBe("sec1");
  });

  it.each(FILES)("%s, cut off or followed by other bytes, is not recognised", (_, bytes) => {
    for (const size of [0, 1, 2, 3, 4, 10, bytes.length >> 1, bytes.length - 1]) {
      expect(derKind(bytes.subarray(0, size))).toBeUndefined();
    }
    expect(derKind(Buffer.concat([bytes, Buffer.alloc(1)]))).toBeUndefined();
  });

  it.each<[string, number[]]>([
    ["nothing", []],
    ["an empty sequence", [0x30, 0]],
    ["an integer", [0x02, 1, 0]],
    ["a sequence of one", [0x30, 3, 0x02, 1, 0]],
    ["a sequence of strings", [0x30, 4, 0x04, 0, 0x04, 0]],
    ["an indefinite length", [0x30, 0x80, 0x02, 1, 0, 0x02, 1, 0, 0, 0]],
    ["a length of five bytes", [0x30, 0x85, 0, 0, 0, 0, 6, 0x02, 1, 0, 0x02, 1, 0]],
    ["a length beyond the end", [0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x02, 1, 0]],
    ["a length that is cut", [0x30, 0x84, 0xff]],
    ["a member beyond the end", [0x30, 4, 0x02, 0x7f, 0, 0]],
    ["an algorithm and an integer", [0x30, 8, 0x30, 3, 0x06, 1, 0, 0x02, 1, 0]],
  ])("%s is not recognised", (_, bytes) => {
    expect(derKind(Uint8Array.from(bytes))).toBeUndefined();
  });

  it("has at most 50,000 elements in one element", () => {
    const numbers = (count: number): Buffer => {
      const contents = Buffer.alloc(3 * count, Buffer.from([0x02, 0x01, 0x01]));
      const head = Buffer.from([0x30, 0x83, 0, 0, 0]);
      head.writeUIntBE(contents.byteLength, 2, 3);
      return Buffer.concat([head, contents]);
    };
    expect(derKind(numbers(50_000))).toBe("pkcs1-private");
    expect(derKind(numbers(50_001))).toBeUndefined();
  });

  it("accepts any bytes without throwing", () => {
    const random = fc.uint8Array({ maxLength: 80 });
    const sequence = random.map((bytes) => Uint8Array.from([0x30, bytes.length, ...bytes]));
    fc.assert(
      fc.property(fc.oneof(random, sequence), (bytes) => {
        const kind = derKind(bytes);
        if (bytes[0] !== 0x30) expect(kind).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });
});
