import { Integer, ObjectIdentifier, OctetString, Sequence } from "asn1js";
import { AlgorithmIdentifier } from "pkijs";
import { describe, expect, it } from "vitest";
import { isOcicryptError } from "../../src/errors.js";
import { decrypt } from "../../src/keys/pkcs12/protection.js";
import { readContentCipher } from "../../src/keywrap/pkcs7/content.js";
import { isWebEngine } from "../support/engine.js";
import { groupsOf, hex, named, vectorNames, type Group, type WycheproofTest } from "./vectors.js";

interface AeadTest extends WycheproofTest {
  key: string;
  iv: string;
  aad: string;
  msg: string;
  ct: string;
  tag: string;
}

interface AeadGroup extends Group<AeadTest> {
  ivSize: number;
  keySize: number;
  tagSize: number;
}

describe("AES-GCM in PKCS#7", () => {
  const ALGORITHMS: Record<number, string> = {
    128: "2.16.840.1.101.3.4.1.6",
    192: "2.16.840.1.101.3.4.1.26",
    256: "2.16.840.1.101.3.4.1.46",
  };
  /** In bits; a longer nonce is refused, as no writer has one. */
  const MAX_NONCE = 64 * 8;
  /** In a browser; no writer has a shorter one either. */
  const MIN_NONCE = isWebEngine ? 8 * 8 : 0;

  function open({ tagSize, keySize }: AeadGroup, test: AeadTest): Uint8Array | null {
    const parameters = new Sequence({
      value: [
        new OctetString({ valueHex: arrayBuffer(hex(test.iv)) }),
        new Integer({ value: tagSize / 8 }),
      ],
    });
    const algorithm = new AlgorithmIdentifier({
      algorithmId: ALGORITHMS[keySize]!,
      algorithmParams: parameters,
    });
    const [ciphertext, tag, attributes] = [hex(test.ct), hex(test.tag), hex(test.aad)];
    const content =
      attributes.byteLength === 0
        ? { algorithm, ciphertext: Buffer.concat([ciphertext, tag]), authentication: undefined }
        : { algorithm, ciphertext, authentication: { tag, additional: attributes } };
    try {
      return readContentCipher(content).decrypt(hex(test.key));
    } catch (error) {
      if (isOcicryptError(error)) return null;
      throw error;
    }
  }

  it("opens only valid messages", () => {
    const groups = groupsOf<AeadGroup>("aes_gcm");
    const failures = groups.flatMap((group) =>
      group.tests
        .filter((test) => {
          const fits = group.ivSize >= MIN_NONCE && group.ivSize <= MAX_NONCE;
          const isForUs = test.result === "valid" && fits;
          const plaintext = open(group, test);
          return isForUs
            ? plaintext === null || !hex(test.msg).equals(plaintext)
            : plaintext !== null;
        })
        .map(named),
    );
    expect(failures).toEqual([]);
    const tooLong = groups.filter(({ ivSize }) => ivSize > MAX_NONCE).flatMap(({ tests }) => tests);
    expect(tooLong.every(({ flags }) => flags.includes("LongIv"))).toBe(true);
  });
});

interface PbeTest extends WycheproofTest {
  password: string;
  salt: string;
  iterationCount: number;
  iv: string;
  msg: string;
  ct: string;
}

describe("PBES2 in PKCS#12", () => {
  const PBES2 = "1.2.840.113549.1.5.13";
  const PBKDF2 = "1.2.840.113549.1.5.12";
  const HMACS: Record<string, string> = {
    1: "1.2.840.113549.2.7",
    224: "1.2.840.113549.2.8",
    256: "1.2.840.113549.2.9",
    384: "1.2.840.113549.2.10",
    512: "1.2.840.113549.2.11",
  };
  const CIPHERS: Record<string, string> = {
    128: "2.16.840.1.101.3.4.1.2",
    192: "2.16.840.1.101.3.4.1.22",
    256: "2.16.840.1.101.3.4.1.42",
  };
  const oid = (value: string): ObjectIdentifier => new ObjectIdentifier({ value });
  const octets = (text: string): OctetString =>
    new OctetString({ valueHex: arrayBuffer(hex(text)) });

  it.each(vectorNames(/^pbes2/))("%s", async (name) => {
    const [, hash = "", size = ""] = /hmacsha(\d+)_aes_(\d+)/.exec(name)!;
    const failures: string[] = [];
    for (const test of groupsOf<Group<PbeTest>>(name).flatMap(({ tests }) => tests)) {
      const derivation = new Sequence({
        value: [
          octets(test.salt),
          new Integer({ value: test.iterationCount }),
          new Sequence({ value: [oid(HMACS[hash]!)] }),
        ],
      });
      const parameters = new Sequence({
        value: [
          new Sequence({ value: [oid(PBKDF2), derivation] }),
          new Sequence({ value: [oid(CIPHERS[size]!), octets(test.iv)] }),
        ],
      });
      // Passwords are bytes in these vectors.
      const password = { utf8: hex(test.password), bmpString: Buffer.alloc(0) };
      const plaintext = await decrypt({ id: PBES2, parameters }, hex(test.ct), password);
      if (Buffer.compare(plaintext, hex(test.msg)) !== 0) failures.push(named(test));
    }
    expect(failures).toEqual([]);
  });
});

function arrayBuffer(bytes: Buffer): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}
