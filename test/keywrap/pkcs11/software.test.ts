import { constants, privateDecrypt, publicEncrypt } from "node:crypto";
import { afterEach, describe, expect, it, vi } from "vitest";
import { pkcs11 } from "../../../src/keywrap/pkcs11/index.js";
import { expectCode } from "../../support/codes.js";
import { vectorFile } from "../../support/vectors.js";

// Nothing here needs a token: a config is not read, a module not loaded.
const SECRET = Buffer.from("This is some secret text");

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("recipient of a public key", () => {
  it.each([
    { form: "SPKI PEM", file: "rsa2048.pub.pem" },
    { form: "PKCS#1 PEM", file: "rsa2048.pkcs1pub.pem" },
    { form: "SPKI DER", file: "rsa2048.pub.der" },
    { form: "a JWK", file: "rsa2048.pub.jwk" },
    { form: "a JWK for RSA-OAEP-256", file: "rsa2048.pub.RSA-OAEP-256.jwk" },
    { form: "a certificate", file: "cert-rsa2048.pem" },
    { form: "a certificate in DER", file: "cert-rsa2048.der" },
  ])("accepts $form and writes a blob that OpenSSL opens", async ({ file }) => {
    vi.stubEnv("OCICRYPT_CONFIG", "/nowhere");
    const recipient = await pkcs11.recipient(vectorFile(`peers/keys/${file}`), { hash: "sha1" });
    expect(recipient.scheme).toBe("pkcs11");
    const { blob, hash } = await wrapped(recipient);
    expect(hash).toBe("sha1");
    expect(opened("peers/keys/rsa2048.pkcs8.pem", blob, "sha1")).toEqual(SECRET);
  });

  it.each([
    { variable: undefined, option: undefined, hash: "sha256" },
    { variable: "sha1", option: undefined, hash: "sha1" },
    { variable: "sha1", option: "sha256", hash: "sha256" },
    { variable: "md5", option: "sha1", hash: "sha1" },
  ] as const)("OCICRYPT_OAEP_HASHALG $variable, option $option: $hash", async (row) => {
    vi.stubEnv("OCICRYPT_OAEP_HASHALG", row.variable);
    const pem = vectorFile("keys/rsa-3072.pub.pem");
    const { blob, hash } = await wrapped(await pkcs11.recipient(pem, { hash: row.option }));
    expect(hash).toBe(row.hash);
    expect(opened("keys/rsa-3072.pem", blob, row.hash)).toEqual(SECRET);
  });

  it("rejects a bad OCICRYPT_OAEP_HASHALG before it is used", async () => {
    vi.stubEnv("OCICRYPT_OAEP_HASHALG", "md5");
    const pem = vectorFile("keys/rsa-3072.pub.pem");
    await expectCode(() => pkcs11.recipient(pem), "PKCS11_CONFIG_INVALID");
  });

  it("fails for RSA-2048, SHA-256 and the usual 193 bytes", async () => {
    vi.stubEnv("OCICRYPT_OAEP_HASHALG", "");
    const recipient = await pkcs11.recipient(vectorFile("keys/rsa-2048.pub.pem"));
    await expectCode(() => recipient.wrap(Buffer.alloc(193)), "WRAP_FAILED");
  });

  it.each([
    { what: "a private key", file: "peers/keys/rsa2048.pkcs8.pem", code: "KEY_IS_PRIVATE" },
    { what: "an EC key", file: "peers/keys/ec256.pub.pem", code: "KEY_UNSUPPORTED" },
    { what: "an EC certificate", file: "peers/keys/cert-ec256.pem", code: "KEY_UNSUPPORTED" },
    {
      what: "a JWK for RSA1_5",
      file: "peers/keys/rsa2048.pub.RSA1_5.jwk",
      code: "KEY_UNSUPPORTED",
    },
    { what: "a layer", file: "peers/layers/plain.bin", code: "KEY_UNRECOGNIZED" },
  ] as const)("rejects $what", async ({ file, code }) => {
    await expectCode(async () => pkcs11.recipient(vectorFile(file)), code);
  });

  it("rejects RSA-1024", async () => {
    const n = Buffer.alloc(128, 0xff).toString("base64url");
    const jwk = { kty: "RSA", n, e: "AQAB" };
    await expectCode(() => pkcs11.recipient(jwk, { hash: "sha1" }), "KEY_UNSUPPORTED");
  });

  it("accepts only one key", async () => {
    const two = vectorFile("keys/rsa-2048.pub.pem").toString();
    await expect(pkcs11.recipient(two + two)).rejects.toBeInstanceOf(TypeError);
  });
});

describe("key of a private key", () => {
  it.each([
    { form: "PKCS#8 PEM", file: "rsa2048.pkcs8.pem" },
    { form: "PKCS#8 DER", file: "rsa2048.pkcs8.der" },
    { form: "PKCS#1 PEM", file: "rsa2048.pkcs1.pem" },
    { form: "PKCS#1 DER", file: "rsa2048.pkcs1.der" },
    { form: "a JWK", file: "rsa2048.priv.jwk" },
    { form: "encrypted PKCS#8", file: "rsa2048.pkcs8.enc-v2.pem", password: "secret" },
    { form: "encrypted PKCS#1", file: "rsa2048.pkcs1.enc-aes256.pem", password: "secret" },
  ])("opens with $form a blob that OpenSSL wrote", async ({ file, password }) => {
    const key = await pkcs11.key(vectorFile(`peers/keys/${file}`), { password });
    expect(key.scheme).toBe("pkcs11");
    const pem = vectorFile("peers/keys/rsa2048.pub.pem").toString();
    for (const hash of ["sha1", "sha256", undefined] as const) {
      const blob = publicEncrypt({ key: pem, oaepHash: hash ?? "sha1" }, SECRET);
      expect(await key.unwrap(json([{ blob, hash }]))).toEqual(SECRET);
    }
  });

  it("tries every recipient of a wrapped key", async () => {
    const key = await pkcs11.key(vectorFile("keys/rsa-2048.pem"));
    const encrypted = (file: string): Buffer =>
      publicEncrypt({ key: vectorFile(file).toString(), oaepHash: "sha256" }, SECRET);
    const own = encrypted("keys/rsa-2048.pub.pem");
    const foreign = { blob: encrypted("keys/rsa-3072.pub.pem"), hash: "sha256" };
    expect(await key.unwrap(json([foreign, { blob: own, hash: "sha256" }]))).toEqual(SECRET);
    expect(await key.unwrap(json([foreign, foreign]))).toBeNull();
    expect(await key.unwrap(json([{ blob: own, hash: "sha1" }]))).toBeNull();
    expect(key.explain?.(json([foreign, { blob: own, hash: "sha1" }]))).toBe(
      "RSA-OAEP-256: the recipient needs RSA-3072, the key is RSA-2048; " +
        "RSA-OAEP: for another RSA-2048 key, or damaged",
    );
  });

  it("rejects, and does not throw, for an invalid wrapped key", async () => {
    const key = await pkcs11.key(vectorFile("keys/rsa-2048.pem"));
    const promise = key.unwrap(Buffer.from("{}"));
    await expectCode(promise, "WRAPPED_KEY_INVALID");
  });

  it.each([
    { what: "a public key", file: "peers/keys/rsa2048.pub.pem", code: "KEY_IS_PUBLIC" },
    { what: "a certificate", file: "peers/keys/cert-rsa2048.pem", code: "KEY_IS_PUBLIC" },
    { what: "an EC key", file: "peers/keys/ec256.pkcs8.pem", code: "KEY_UNSUPPORTED" },
    { what: "no password", file: "peers/keys/rsa2048.pkcs8.enc-v2.pem", code: "PASSWORD_MISSING" },
  ] as const)("rejects $what", async ({ file, code }) => {
    await expectCode(async () => pkcs11.key(vectorFile(file)), code);
  });

  it("rejects a wrong password without repeating it", async () => {
    const file = vectorFile("peers/keys/rsa2048.pkcs8.enc-v2.pem");
    const error = await expectCode(
      () => pkcs11.key(file, { password: "hunter2" }),
      "PASSWORD_WRONG",
    );
    expect(error.message).not.toContain("hunter2");
  });

  it("accepts only one key", async () => {
    const two = vectorFile("keys/rsa-2048.pem").toString();
    await expect(pkcs11.key(two + two)).rejects.toBeInstanceOf(TypeError);
  });
});

async function wrapped(recipient: {
  wrap(secret: Uint8Array): Promise<Uint8Array>;
}): Promise<{ blob: Buffer; hash: string }> {
  const text = Buffer.from(await recipient.wrap(SECRET)).toString();
  const { version, recipients } = JSON.parse(text) as {
    version: number;
    recipients: { version: number; blob: string; hash: string }[];
  };
  expect(version).toBe(0);
  expect(recipients).toHaveLength(1);
  expect(recipients[0]!.version).toBe(0);
  return { blob: Buffer.from(recipients[0]!.blob, "base64"), hash: recipients[0]!.hash };
}

function opened(file: string, blob: Buffer, oaepHash: string): Buffer {
  const key = vectorFile(file).toString();
  return privateDecrypt({ key, oaepHash, padding: constants.RSA_PKCS1_OAEP_PADDING }, blob);
}

function json(recipients: { blob: Buffer; hash: string | undefined }[]): Buffer {
  const written = recipients.map(({ blob, hash }) => ({
    version: 0,
    blob: blob.toString("base64"),
    hash,
  }));
  return Buffer.from(JSON.stringify({ version: 0, recipients: written }));
}
