import { createCipheriv, createHash, type JsonWebKey } from "node:crypto";
import { describe, expect, it } from "vitest";
import { isOcicryptError, type ErrorCode } from "../../src/errors.js";
import { readPublicKeys } from "../../src/keys/public-key.js";
import type { KeyInput } from "../../src/keys/material.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { groupsOf, hex, named, type Group, type WycheproofTest } from "./vectors.js";

type Jwk = JsonWebKey & { kty: string; alg?: string; keys?: Jwk[] };

/** The bytes, `null` for another key, or the code of the refusal. */
async function openJwe(key: KeyInput, message: string): Promise<Uint8Array | ErrorCode | null> {
  try {
    return await jwe.key(key).unwrap(Buffer.from(message));
  } catch (error) {
    if (isOcicryptError(error)) return error.code;
    throw error;
  }
}

describe("JSON Web Encryption", () => {
  interface JweTest extends WycheproofTest {
    jwe: string;
    pt?: string;
  }
  interface JweGroup extends Group<JweTest> {
    private: Jwk;
  }
  const groups = groupsOf<JweGroup>("json_web_encryption");
  /** Algorithms that Go's ocicrypt does not write for an image and that this library does not read. */
  const UNREAD = /^(?:ECDH-ES|RSA1_5)$/;
  const isRead = ({ private: { kty, alg = "" } }: JweGroup): boolean =>
    kty !== "oct" && !UNREAD.test(alg);

  it("opens only valid messages", async () => {
    const failures: string[] = [];
    const opened: number[] = [];
    for (const group of groups.filter(isRead)) {
      for (const test of group.tests) {
        const found = await openJwe(group.private, test.jwe);
        const isOpen = typeof found !== "string" && found !== null;
        const isRight = isOpen && Buffer.from(found).equals(hex(test.pt ?? ""));
        if (test.result === "valid" ? !isRight : isOpen) failures.push(named(test));
        if (isRight) opened.push(test.tcId);
      }
    }
    expect(failures).toEqual([]);
    expect(opened.length).toBeGreaterThan(30);
  });

  it("rejects symmetric keys, RSA1_5 and ECDH-ES without key wrapping", async () => {
    const codes = new Set<unknown>();
    for (const group of groups.filter((each) => !isRead(each))) {
      for (const test of group.tests) codes.add(await openJwe(group.private, test.jwe));
    }
    expect([...codes]).toEqual(["KEY_UNSUPPORTED"]);
  });
});

describe("JSON Web Keys", () => {
  interface KeyGroup extends Group<WycheproofTest> {
    comment: string;
    public?: Jwk;
    private: Jwk;
  }
  /** All these keys are for signing, which is what they are refused for here. */
  it("no key for signing and no symmetric key is accepted as a recipient", () => {
    const taken = groupsOf<KeyGroup>("json_web_key").filter((group) => {
      try {
        jwe.recipients(group.public ?? group.private);
        return true;
      } catch (error) {
        if (isOcicryptError(error)) return false;
        throw error;
      }
    });
    expect(taken.map(({ comment }) => comment)).toEqual([]);
  });

  it("with another use, weak and wrong keys are rejected", () => {
    const wrong = ["keysize_too_small", "exponentOne", "invalid_point", "wrong_curve", "wrong_kty"];
    const taken = groupsOf<KeyGroup>("json_web_key")
      .filter(({ comment, public: given }) => wrong.includes(comment) && given !== undefined)
      .filter((group) => {
        const [key] = group.public?.keys ?? [];
        try {
          jwe.recipients(without(key!, "use", "alg", "key_ops"));
          return true;
        } catch (error) {
          if (isOcicryptError(error)) return false;
          throw error;
        }
      });
    expect(taken.map(({ comment }) => comment)).toEqual([]);
  });
});

function without(jwk: Jwk, ...names: string[]): Jwk {
  return Object.fromEntries(Object.entries(jwk).filter(([name]) => !names.includes(name))) as Jwk;
}

const SECRET = Buffer.from("the secret of a layer");

/**
 * A JWE with ECDH-ES+A256KW whose ephemeral key is a given one, and whose keys follow from the
 * shared secret that a vector has: RFC 7518 section 4.6, without anything of the library.
 */
function agreedJwe(epk: JsonWebKey, shared: Buffer): string {
  const algorithm = "ECDH-ES+A256KW";
  const header = Buffer.from(JSON.stringify({ alg: algorithm, enc: "A256GCM", epk }));
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const key = createHash("sha256")
    .update(number(1))
    .update(shared)
    .update(number(algorithm.length))
    .update(algorithm)
    .update(number(0))
    .update(number(0))
    .update(number(256))
    .digest();
  const contentKey = Buffer.alloc(32, 7);
  const wrapper = createCipheriv("id-aes256-wrap", key, Buffer.alloc(8, 0xa6));
  const nonce = Buffer.alloc(12, 9);
  const protectedHeader = header.toString("base64url");
  const cipher = createCipheriv("aes-256-gcm", contentKey, nonce).setAAD(
    Buffer.from(protectedHeader),
  );
  const ciphertext = Buffer.concat([cipher.update(SECRET), cipher.final()]);
  const parts = [wrapper.update(contentKey), nonce, ciphertext, cipher.getAuthTag()];
  return [protectedHeader, ...parts.map((part) => part.toString("base64url"))].join(".");
}

function isSecret(found: unknown): boolean {
  return found instanceof Uint8Array && SECRET.equals(found);
}

describe("ECDH in JWE", () => {
  interface EcdhTest extends WycheproofTest {
    public: Jwk;
    private: Jwk;
    shared: string;
  }

  it.each(["secp256r1", "secp384r1", "secp521r1"])(
    "%s",
    async (curve) => {
      const failures: string[] = [];
      const groups = groupsOf<Group<EcdhTest>>(`ecdh_${curve}_webcrypto`);
      for (const test of groups.flatMap(({ tests }) => tests)) {
        const epk = without(test.public, "kid");
        const found = await openJwe(test.private, agreedJwe(epk, hex(test.shared)));
        if (isSecret(found) !== (test.result === "valid")) failures.push(named(test));
      }
      expect(failures).toEqual([]);
    },
    300_000,
  );

  interface PemTest extends WycheproofTest {
    public: string;
    private: string;
    shared: string;
  }

  it("secp256r1 with keys in PEM", async () => {
    const failures: string[] = [];
    let read = 0;
    for (const test of groupsOf<Group<PemTest>>("ecdh_secp256r1_pem").flatMap(
      ({ tests }) => tests,
    )) {
      const epk = publicJwk(test.public);
      if (epk === undefined) {
        if (test.result === "valid") failures.push(named(test));
        continue;
      }
      read++;
      // A key that can be read is used as its members say, or rejected; never as another one.
      const found = await openJwe(test.private, agreedJwe(epk, hex(test.shared)));
      if (
        test.result === "valid" ? !isSecret(found) : test.result === "invalid" && isSecret(found)
      ) {
        failures.push(named(test));
      }
    }
    expect(failures).toEqual([]);
    expect(read).toBeGreaterThan(300);
  }, 300_000);

  function publicJwk(pem: string): JsonWebKey | undefined {
    try {
      return readPublicKeys(pem)[0]?.key.export({ format: "jwk" });
    } catch (error) {
      if (isOcicryptError(error)) return undefined;
      // A curve without a name has no JWK.
      if (error instanceof Error && "code" in error) return undefined;
      throw error;
    }
  }
});
