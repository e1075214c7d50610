import { describe, expect, it } from "vitest";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import { expectCode } from "../../support/codes.js";
import { isWebEngine } from "../../support/engine.js";
import { PRIVATE_OPTIONS, readFixture, readKey } from "./files.js";

const privateKey = readKey("rsa2048.pkcs8.pem");
const certificate = readKey("cert-rsa2048.pem");

describe("what openssl cms encrypts", () => {
  it.each([
    "aes-128-cbc",
    "aes-192-cbc",
    "aes-256-cbc",
    "des-ede3-cbc",
    "aes-128-gcm",
    "aes-192-gcm",
    "aes-256-gcm",
    "oaep-sha1",
    "oaep-sha256",
    "oaep-sha512",
    "oaep-label",
    "key-identifier",
    "indefinite-cbc",
    "indefinite-gcm",
    "several",
  ])("%s opens, with and without the certificate", async (name) => {
    const message = readFixture(`${name}.cms`);
    for (const options of [{ certificate }, {}]) {
      const secret = await pkcs7.key(privateKey, options).unwrap(message);
      expect(secret && Buffer.from(secret).equals(PRIVATE_OPTIONS)).toBe(true);
    }
    // Of the same size; for the recipients by RSA nobody else has a key.
    const other = pkcs7.key(readFixture("other-rsa2048.key"));
    expect(await other.unwrap(message)).toBeNull();
  });

  it.runIf(isWebEngine)("is rejected in a browser if its cipher is missing there", async () => {
    const key = pkcs7.key(privateKey, { certificate });
    const unwrapped = key.unwrap(readFixture("des-ede3-cbc.cms"));
    await expectCode(unwrapped, "WRAPPED_KEY_UNSUPPORTED");
  });

  it("opens for an issuer's name in BMPString", async () => {
    const options = { certificate: readFixture("bmp-name.pem") };
    const secret = await pkcs7.key(privateKey, options).unwrap(readFixture("bmp-issuer.cms"));
    expect(secret && Buffer.from(secret).equals(PRIVATE_OPTIONS)).toBe(true);
  });

  it("opens for every key of a message, and for equal names and serial numbers", async () => {
    const several = readFixture("several.cms");
    const rsa4096 = pkcs7.key(readKey("rsa4096.pkcs8.pem"), {
      certificate: readKey("cert-rsa4096.pem"),
    });
    expect(await rsa4096.unwrap(several)).not.toBeNull();

    const twins = readFixture("several-cbc.cms");
    for (const name of ["rsa2048", "rsa3072"]) {
      const twin = pkcs7.key(readKey(`${name}.pkcs8.pem`), {
        certificate: readFixture(`twin-${name}.pem`),
      });
      expect(await twin.unwrap(twins)).not.toBeNull();
    }
    // The same name or the same serial number alone is another certificate, even of the same key.
    for (const other of [readFixture("renewed.pem"), readKey("cert-multirdn.pem")]) {
      expect(await pkcs7.key(privateKey, { certificate: other }).unwrap(twins)).toBeNull();
    }
  });

  it.each([
    { name: "oaep-sha256-mgf1-sha1", code: "WRAPPED_KEY_UNSUPPORTED" },
    { name: "camellia", code: "WRAPPED_KEY_UNSUPPORTED" },
    { name: "encrypted-data", code: "WRAPPED_KEY_UNSUPPORTED" },
    // Without a tag nothing else tells that a key was the right one.
    { name: "text-cbc", code: "WRAPPED_KEY_INVALID" },
  ])("$name is rejected with $code", async ({ name, code }) => {
    const key = pkcs7.key(privateKey, { certificate });
    await expect(key.unwrap(readFixture(`${name}.cms`))).rejects.toMatchObject({ code });
  });

  it.each(["password-only", "agreement-only"])("%s is not for an RSA key", async (name) => {
    const message = readFixture(`${name}.cms`);
    expect(await pkcs7.key(privateKey, { certificate }).unwrap(message)).toBeNull();
    expect(await pkcs7.key(privateKey).unwrap(message)).toBeNull();
  });

  it("returns authenticated data unchanged", async () => {
    const text = await pkcs7.key(privateKey, { certificate }).unwrap(readFixture("text-gcm.cms"));
    expect(Buffer.from(text!).toString()).toBe("This is some secret text");
  });
});
