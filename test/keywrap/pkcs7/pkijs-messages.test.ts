import { Crypto } from "@peculiar/webcrypto";
import { X509Certificate } from "node:crypto";
import { Certificate, ContentInfo, CryptoEngine, EnvelopedData } from "pkijs";
import { describe, expect, it } from "vitest";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import { PRIVATE_OPTIONS, readFixture, readKey } from "./files.js";

/**
 * pkijs as a sender, for its BER in parts of indefinite length. Node's own Web Cryptography has no
 * RSAES-PKCS1-v1_5 to give it.
 */
async function encrypt(parameters: object, algorithm: object): Promise<Uint8Array> {
  const engine = new CryptoEngine({ name: "peculiar", crypto: new Crypto() });
  const { raw } = new X509Certificate(readKey("cert-rsa2048.pem"));
  const envelopedData = new EnvelopedData();
  envelopedData.addRecipientByCertificate(
    Certificate.fromBER(new Uint8Array(raw)),
    parameters,
    1,
    engine,
  );
  await envelopedData.encrypt(algorithm, new Uint8Array(PRIVATE_OPTIONS).buffer, engine);
  const content = envelopedData.toSchema();
  const info = new ContentInfo({ contentType: ContentInfo.ENVELOPED_DATA, content });
  return new Uint8Array(info.toSchema().toBER());
}

describe("what pkijs encrypts", () => {
  it.each([
    { name: "RSAES-PKCS1-v1_5", parameters: { useOAEP: false } },
    { name: "RSAES-OAEP with SHA-1", parameters: { oaepHashAlgorithm: "SHA-1" } },
    { name: "RSAES-OAEP with SHA-512, its default", parameters: {} },
  ])("opens: $name", async ({ parameters }) => {
    const message = await encrypt(parameters, { name: "AES-CBC", length: 256 });
    const certificate = readKey("cert-rsa2048.pem");
    const key = pkcs7.key(readKey("rsa2048.pkcs8.pem"), { certificate });
    const secret = await key.unwrap(message);
    expect(secret && Buffer.from(secret).equals(PRIVATE_OPTIONS)).toBe(true);
    const other = pkcs7.key(readFixture("other-rsa2048.key"));
    expect(await other.unwrap(message)).toBeNull();
  });
});
