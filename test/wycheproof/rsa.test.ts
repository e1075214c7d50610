import { constants, createPrivateKey, privateDecrypt, type KeyObject } from "node:crypto";
import { describe, expect, it } from "vitest";
import { importDer, type PlatformKey } from "#engine/keys";
import type { HashName } from "../../src/engine/types.js";
import { decodeOaep } from "../../src/keys/oaep.js";
import { decryptContentKey, type KeyTransport } from "../../src/keywrap/pkcs7/key-transport.js";
import { decryptOaep, type OaepHash } from "../../src/keywrap/pkcs11/oaep.js";
import { groupsOf, hex, named, vectorNames, type Group, type WycheproofTest } from "./vectors.js";

interface RsaTest extends WycheproofTest {
  msg: string;
  ct: string;
  label?: string;
}

interface RsaGroup extends Group<RsaTest> {
  privateKeyPkcs8: string;
  sha?: string;
}

const privateKeyOf = ({ privateKeyPkcs8 }: RsaGroup): KeyObject =>
  createPrivateKey({ key: hex(privateKeyPkcs8), format: "der", type: "pkcs8" });

const engineKeyOf = ({ privateKeyPkcs8 }: RsaGroup): PlatformKey =>
  importDer(hex(privateKeyPkcs8), "pkcs8");

const hashOf = ({ sha = "" }: RsaGroup): HashName => sha.replace("-", "").toLowerCase() as HashName;

/**
 * Whether the key of a PKCS#7 message is found exactly where it should be. A message that
 * cannot be decrypted gives a random key, a different one each time.
 */
async function isRight(test: RsaTest, transport: KeyTransport, key: PlatformKey): Promise<boolean> {
  const expected = hex(test.msg);
  const attempt = async (size: number): Promise<Buffer> =>
    Buffer.from(await decryptContentKey(transport, key, hex(test.ct), size));
  if (test.result === "valid") return (await attempt(expected.byteLength)).equals(expected);
  const [first, second] = [await attempt(24), await attempt(24)];
  return first.byteLength === 24 && !first.equals(second);
}

/** The tests of a file whose outcome is wrong. */
async function failuresOf(
  name: string,
  transportOf: (group: RsaGroup, test: RsaTest) => KeyTransport,
): Promise<string[]> {
  const failures: string[] = [];
  for (const group of groupsOf<RsaGroup>(name)) {
    const key = engineKeyOf(group);
    for (const test of group.tests) {
      if (!(await isRight(test, transportOf(group, test), key))) failures.push(named(test));
    }
  }
  return failures;
}

describe("RSAES-OAEP", () => {
  const names = vectorNames(/oaep/);

  it.each(names)("%s in PKCS#7", async (name) => {
    const failures = await failuresOf(name, (group, test) => {
      const label = hex(test.label ?? "");
      return { name: "RSAES-OAEP", hash: hashOf(group), label };
    });
    expect(failures).toEqual([]);
  });

  it.each(names.filter((name) => /mgf1sha(?:1|256)$/.test(name)))("%s in PKCS#11", (name) => {
    const failures = groupsOf<RsaGroup>(name).flatMap((group) => {
      const key = privateKeyOf(group);
      const hash = hashOf(group) as OaepHash;
      return group.tests
        .filter((test) => {
          // PKCS#11 has no label here, so one that has is damaged.
          const isForUs = test.result === "valid" && (test.label ?? "") === "";
          const found = [decryptOaep(key, hash, hex(test.ct)), decryptInToken(key, hash, test)];
          return found.some((message) =>
            isForUs ? message?.equals(hex(test.msg)) !== true : message !== null,
          );
        })
        .map(named);
    });
    expect(failures).toEqual([]);
  });

  /** As a token without OAEP does it: RSA alone is its part, and decoding is ours. */
  function decryptInToken(key: KeyObject, hash: OaepHash, { ct }: RsaTest): Buffer | null {
    try {
      const encoded = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, hex(ct));
      const message = decodeOaep(encoded, { hash, label: new Uint8Array() });
      return message && Buffer.from(message);
    } catch {
      // A token refuses what is not as long as its modulus.
      return null;
    }
  }
});

it("RSAES-PKCS1-v1_5 in PKCS#7", async () => {
  const failures = await failuresOf("rsa_pkcs1_2048", () => ({ name: "RSAES-PKCS1-v1_5" }));
  expect(failures).toEqual([]);
});
