import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import { expectCode } from "../../support/codes.js";
import { ecPair, rsaPair } from "../../support/keys.js";
import { bytes, SECRET } from "./forms.js";

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const key = ecPair();
const epk = (): object => ecPair().publicKey.export({ format: "jwk" });
const content = { iv: "AAAAAAAAAAAAAAAA", ciphertext: "AA", tag: "AAAAAAAAAAAAAAAAAAAAAA" };
const FOREIGN = "A".repeat(54); // 40 bytes, as a wrapped key of 32 has

const general = (header: object, recipients: readonly object[]): Uint8Array =>
  bytes({ ...content, protected: b64({ enc: "A256GCM", ...header }), recipients });

describe("the attempts on a JWE", () => {
  it("derive a shared ephemeral key once, however many recipients name it", async () => {
    const message = general({ alg: "ECDH-ES+A256KW", epk: epk() }, [
      ...Array<object>(1024).fill({ encrypted_key: FOREIGN }),
    ]);
    const attempts = { left: 2 };
    expect(await jwe.key(key.privateKey).unwrap(message, { attempts })).toBeNull();
    expect(attempts.left).toBe(1);
  });

  it("skip recipients whose encrypted key has an impossible size", async () => {
    const rsa = rsaPair();
    const recipients = ["", "AAAA", FOREIGN, "A".repeat(1000)].map((encrypted_key) => ({
      header: { alg: "RSA-OAEP" },
      encrypted_key,
    }));
    const attempts = { left: 0 };
    expect(await jwe.key(rsa.privateKey).unwrap(general({}, recipients), { attempts })).toBeNull();
    const short = general({ alg: "ECDH-ES+A256KW", epk: epk() }, [{ encrypted_key: "AAAA" }]);
    expect(await jwe.key(key.privateKey).unwrap(short, { attempts })).toBeNull();
  });

  it("end when no attempt is left, and count over several messages", async () => {
    const one = (): Uint8Array =>
      general({ alg: "ECDH-ES+A256KW", epk: epk() }, [{ encrypted_key: FOREIGN }]);
    const attempts = { left: 2 };
    const opener = jwe.key(key.privateKey);
    expect(await opener.unwrap(one(), { attempts })).toBeNull();
    expect(await opener.unwrap(one(), { attempts })).toBeNull();
    const error = await expectCode(opener.unwrap(one(), { attempts }), "ANNOTATION_TOO_LARGE");
    expect(error.message).toContain("attempts");
  });

  it("start with the recipient whose kid is the key's", async () => {
    const own = JSON.parse(
      Buffer.from(await jwe.recipient(key.publicKey).wrap(Buffer.from(SECRET))).toString(),
    ) as { encrypted_key: string; protected: string };
    const header = JSON.parse(Buffer.from(own.protected, "base64url").toString()) as object;
    const others = Array.from({ length: 20 }, () => ({
      header: { alg: "ECDH-ES+A256KW", epk: epk() },
      encrypted_key: FOREIGN,
    }));
    const mine = { header, encrypted_key: own.encrypted_key };
    const attempts = { left: 3 };
    // Its content is another, so that it does not open; the first attempts are its own.
    const message = general({}, [...others, mine]);
    await expectCode(jwe.key(key.privateKey).unwrap(message, { attempts }), "ANNOTATION_TOO_LARGE");
  });

  it("stop when a signal aborts", async () => {
    const abort = new AbortController();
    const recipients = Array.from({ length: 200 }, () => ({
      header: { alg: "ECDH-ES+A256KW", epk: epk() },
      encrypted_key: FOREIGN,
    }));
    const unwrapped = jwe
      .key(key.privateKey)
      .unwrap(general({}, recipients), { signal: abort.signal });
    setImmediate(() => {
      abort.abort(new Error("enough"));
    });
    await expect(unwrapped).rejects.toThrow("enough");
  });

  it("reject an ephemeral key that is not on the curve", async () => {
    const { x, ...rest } = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({
      format: "jwk",
    });
    const message = general({ alg: "ECDH-ES+A256KW", epk: { ...rest, x: "AAAA" } }, [
      { encrypted_key: FOREIGN },
    ]);
    expect(x).toBeDefined();
    expect(await jwe.key(key.privateKey).unwrap(message)).toBeNull();
  });
});
