import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { verifyBlob } from "../../src/signature/index.js";
import { chunked } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { temporaryDirectories } from "../support/image.js";

const directory = temporaryDirectories();
const CONTENT = Buffer.from("the content of a blob\n".repeat(1000));

let certificate: string;
let ecCertificate: string;
let der: Buffer;
const signatures: Record<string, Buffer> = {};

// Made by OpenSSL, as the documentation of OpenStack's image service does it.
beforeAll(() => {
  const path = directory();
  const file = (name: string): string => join(path, name);
  const openssl = (...args: string[]): Buffer =>
    execFileSync("openssl", args, { cwd: path, stdio: ["ignore", "pipe", "ignore"] });
  const certify = (key: string, out: string, ...more: string[]): Buffer =>
    openssl(
      "req",
      "-x509",
      "-key",
      key,
      "-out",
      out,
      "-days",
      "30",
      "-subj",
      "/CN=signer",
      ...more,
    );
  openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem");
  openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ec.pem");
  certify("key.pem", "certificate.pem");
  certify("ec.pem", "ec-certificate.pem");
  openssl("x509", "-in", "certificate.pem", "-outform", "DER", "-out", "certificate.der");
  writeFileSync(file("content"), CONTENT);
  const pss = ["-sigopt", "rsa_padding_mode:pss"];
  const variants: Record<string, string[]> = {
    "the longest salt": [...pss],
    "a salt as long as the hash": [...pss, "-sigopt", "rsa_pss_saltlen:32"],
    "PKCS#1 v1.5": [],
  };
  for (const [name, options] of Object.entries(variants)) {
    openssl("dgst", "-sha256", "-sign", "key.pem", ...options, "-out", "signature", "content");
    signatures[name] = readFileSync(file("signature"));
  }
  certificate = readFileSync(file("certificate.pem"), "utf8");
  ecCertificate = readFileSync(file("ec-certificate.pem"), "utf8");
  der = readFileSync(file("certificate.der"));
});

describe("verifyBlob", () => {
  it.each(["the longest salt", "a salt as long as the hash"])("accepts %s", async (name) => {
    await verifyBlob(CONTENT, signatures[name]!, certificate);
    await verifyBlob(chunked(CONTENT, 1000), signatures[name]!, der);
  });

  it("rejects other content, other signatures and other paddings", async () => {
    const right = signatures["the longest salt"]!;
    const changed = Buffer.from(right);
    changed[0]! ^= 1;
    for (const [content, signature] of [
      [CONTENT.subarray(1), right],
      [Buffer.alloc(0), right],
      [CONTENT, changed],
      [CONTENT, right.subarray(1)],
      [CONTENT, Buffer.alloc(0)],
      [CONTENT, signatures["PKCS#1 v1.5"]!],
    ] as const) {
      await expectCode(verifyBlob(content, signature, certificate), "SIGNATURE_INVALID");
    }
  });

  it("rejects certificates outside their dates, and certificates without RSA keys", async () => {
    const signature = signatures["the longest salt"]!;
    const check = (text: string, at?: Date): Promise<void> =>
      verifyBlob(CONTENT, signature, text, { at });
    await expectCode(check(certificate, new Date("2001-01-01")), "CERTIFICATE_NOT_YET_VALID");
    await expectCode(check(certificate, new Date("2199-01-01")), "CERTIFICATE_EXPIRED");
    await expectCode(check(ecCertificate), "KEY_UNRECOGNIZED");
    await expectCode(check("x"), "KEY_UNRECOGNIZED");
  });

  it("stops when it is aborted", async () => {
    const signal = AbortSignal.abort(new Error("stopped"));
    const signature = signatures["the longest salt"]!;
    await expect(verifyBlob(CONTENT, signature, certificate, { signal })).rejects.toThrow(
      "stopped",
    );
  });
});
