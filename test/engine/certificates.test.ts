import { webcrypto } from "node:crypto";
import { Integer, PrintableString } from "asn1js";
import { AttributeTypeAndValue, Certificate, CryptoEngine } from "pkijs";
import { describe, expect, it } from "vitest";
import { importCertificate, isIssuedBy } from "#engine/certificates";
import { importDer } from "#engine/keys";
import { vectorFile } from "../support/vectors.js";

const pkijs = new CryptoEngine({ name: "node", crypto: webcrypto });

type Pair = webcrypto.CryptoKeyPair;

const rsa = (name: string, hash: string, modulusLength = 2048): Promise<Pair> => {
  const publicExponent = Uint8Array.of(1, 0, 1);
  const algorithm = { name, modulusLength, publicExponent, hash };
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
};
const ec = (namedCurve: string): Promise<Pair> =>
  webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve }, true, ["sign", "verify"]);

/** A certificate of pkijs, which signs with the Web Cryptography of Node.js. */
async function issue(subject: string, issuer: string, keys: Pair, signer: Pair, hash: string) {
  const certificate = new Certificate({ version: 2, serialNumber: new Integer({ value: 7 }) });
  const name = (value: string): AttributeTypeAndValue =>
    new AttributeTypeAndValue({ type: "2.5.4.3", value: new PrintableString({ value }) });
  certificate.issuer.typesAndValues.push(name(issuer));
  certificate.subject.typesAndValues.push(name(subject));
  certificate.notBefore.value = new Date("2026-01-01");
  certificate.notAfter.value = new Date("2036-01-01");
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey, pkijs);
  await certificate.sign(signer.privateKey, hash, pkijs);
  return new Uint8Array(certificate.toSchema(true).toBER());
}

describe.each<[string, string, () => Promise<Pair>]>([
  ["RSASSA-PKCS1-v1_5", "SHA-1", () => rsa("RSASSA-PKCS1-v1_5", "SHA-1")],
  ["RSASSA-PKCS1-v1_5", "SHA-256", () => rsa("RSASSA-PKCS1-v1_5", "SHA-256")],
  ["RSASSA-PKCS1-v1_5", "SHA-512", () => rsa("RSASSA-PKCS1-v1_5", "SHA-512")],
  ["RSA-PSS", "SHA-256", () => rsa("RSA-PSS", "SHA-256")],
  ["RSA-PSS with another size", "SHA-384", () => rsa("RSA-PSS", "SHA-384", 2056)],
  ["ECDSA on P-256", "SHA-256", () => ec("P-256")],
  ["ECDSA on P-256", "SHA-512", () => ec("P-256")],
  ["ECDSA on P-384", "SHA-384", () => ec("P-384")],
  ["ECDSA on P-521", "SHA-512", () => ec("P-521")],
])("a certificate signed by %s with %s", (_, hash, generate) => {
  it("is issued by its issuer alone", async () => {
    const [own, other, leaf] = [await generate(), await generate(), await generate()];
    const issuer = await issue("CA", "CA", own, own, hash);
    const namesake = await issue("CA", "CA", other, other, hash);
    const certificate = await issue("leaf", "CA", leaf, own, hash);
    const isIssued = (der: Uint8Array, by: Uint8Array): boolean =>
      isIssuedBy(importCertificate(der), importCertificate(by), importDer(by, "certificate"));
    expect(isIssued(certificate, issuer)).toBe(true);
    expect(isIssued(issuer, issuer)).toBe(true);
    expect(isIssued(certificate, namesake)).toBe(false);
    expect(isIssued(issuer, namesake)).toBe(false);
    const changed = Uint8Array.from(certificate);
    changed[Buffer.from(certificate).indexOf("leaf")]! ^= 1;
    const damaged = Uint8Array.from(certificate);
    damaged[damaged.byteLength - 1]! ^= 1;
    for (const each of [changed, damaged]) {
      expect(Buffer.from(each).equals(certificate)).toBe(false);
      expect(isIssued(each, issuer)).toBe(false);
    }
    const isEc = own.publicKey.algorithm.name === "ECDSA";
    const pair = isEc ? await rsa("RSA-PSS", "SHA-256") : await ec("P-256");
    const otherKind = await issue("CA", "CA", pair, pair, "SHA-256");
    expect(isIssued(certificate, otherKind)).toBe(false);
  });
});

it.each([
  ["nothing", Buffer.alloc(0)],
  ["a key", vectorFile("peers/keys/rsa2048.pkcs8.der")],
  ["a certificate that is cut", vectorFile("peers/keys/cert-rsa2048.der").subarray(0, 300)],
  ["an empty sequence", Buffer.from([0x30, 0x00])],
])("%s is no certificate", (_, der) => {
  expect(() => importCertificate(der)).toThrow();
});
