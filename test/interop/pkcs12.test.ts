import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { readPkcs12 } from "../../src/keys/pkcs12/pkcs12.js";
import { keysFromFiles } from "../../src/keywrap/key-files/index.js";
import { decryptLayer } from "../../src/layer/decrypt.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { hasProgram, requirePeer, run, temporaryDirectory, VECTORS } from "./peers.js";

const directory = temporaryDirectory();
const keys = join(VECTORS, "peers", "keys");
const RSA = join(keys, "rsa2048.pkcs8.pem");
const CERTIFICATE = join(keys, "cert-rsa2048.pem");
const PAIR = ["-inkey", RSA, "-in", CERTIFICATE];
const OLD = ["-legacy", "-provider", "legacy", "-provider", "default"];
const PBE = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"];
const PASSWORD = "secret";

/** The key and the certificate that Go's layers are for. */
const layers = join(VECTORS, "peers", "layers");
const PAIR_OF_LAYERS = [
  ...["-inkey", join(layers, "keys", "rsa2048.pem")],
  ...["-in", join(layers, "keys", "cert-rsa2048.pem")],
];

const der = (pem: string): Buffer =>
  createPrivateKey(readFileSync(pem)).export({ type: "pkcs8", format: "der" });

describe("openssl pkcs12", () => {
  const isThere = hasProgram("openssl", "version");
  let files = 0;

  async function exportFile(password: string, args: readonly string[]): Promise<string> {
    const file = join(directory, `${String(files++)}.p12`);
    // By the environment, so that the password may hold anything but NUL.
    const common = ["pkcs12", "-export", "-out", file, "-passout", "env:PASSWORD"];
    const { status, stderr } = await run("openssl", [...common, ...args], {
      env: { PASSWORD: password },
    });
    expect(status, stderr).toBe(0);
    return file;
  }

  it.for<[string, string, readonly string[], boolean]>([
    ["the default", PASSWORD, PAIR, true],
    ["-legacy", PASSWORD, [...PAIR, ...OLD], false],
    ["-descert", PASSWORD, [...PAIR, "-descert"], true],
    ["PBE with SHA-1 and 3DES", PASSWORD, [...PAIR, ...PBE], true],
    ["no encryption", PASSWORD, [...PAIR, "-keypbe", "NONE", "-certpbe", "NONE"], true],
    ["a plain key", PASSWORD, [...PAIR, "-keypbe", "NONE"], true],
    ["a plain certificate", PASSWORD, [...PAIR, "-certpbe", "NONE"], true],
    ["AES-128", PASSWORD, [...PAIR, "-keypbe", "AES-128-CBC", "-certpbe", "AES-192-CBC"], true],
    ["3DES by PBES2", PASSWORD, [...PAIR, "-keypbe", "DES-EDE3-CBC"], true],
    ...["sha1", "sha224", "sha256", "sha384", "sha512", "sha512-224", "sha512-256"].map(
      (hash): [string, string, string[], boolean] => [
        `a MAC with ${hash}`,
        PASSWORD,
        [...PAIR, "-macalg", hash],
        true,
      ],
    ),
    ["100000 iterations", PASSWORD, [...PAIR, "-iter", "100000"], true],
    ["one iteration", PASSWORD, [...PAIR, "-noiter", "-nomaciter"], true],
    ["a name", PASSWORD, [...PAIR, "-name", "Schlüssel"], true],
    ["no certificate", PASSWORD, ["-nocerts", "-inkey", RSA], false],
    ...["", "Zürich, пароль 🔑", " : ' \" \\ ", "x".repeat(200)].flatMap(
      (password): [string, string, string[], boolean][] => [
        [`the password ${JSON.stringify(password)}`, password, PAIR, true],
        ["the same and 3DES", password, [...PAIR, ...PBE], true],
      ],
    ),
  ])("is read: %s (%#)", async ([, password, args, withCertificate], context) => {
    requirePeer(context, "openssl", isThere);
    const bytes = readFileSync(await exportFile(password, args));
    const read = await readPkcs12(bytes, { password });
    expect(read.privateKeys.map((key) => key.export({ type: "pkcs8", format: "der" }))).toEqual([
      der(RSA),
    ]);
    expect(read.certificates.map(String)).toEqual(
      withCertificate ? [String(new X509Certificate(readFileSync(CERTIFICATE)))] : [],
    );
    await expectCode(readPkcs12(bytes, { password: `${password}x` }), "PASSWORD_WRONG");
    await expectCode(readPkcs12(bytes), "PASSWORD_MISSING");
  });

  it("is read with a chain, in the order of the file", async (context) => {
    requirePeer(context, "openssl", isThere);
    const chain = join(import.meta.dirname, "..", "keywrap", "pkcs7", "fixtures");
    const names = ["leaf.pem", "intermediate.pem", "root.pem"].map((name) => join(chain, name));
    const bundle = join(directory, "chain.pem");
    writeFileSync(bundle, Buffer.concat(names.map((name) => readFileSync(name))));
    const file = await exportFile(PASSWORD, ["-inkey", RSA, "-in", bundle]);
    const { certificates } = await readPkcs12(readFileSync(file), { password: PASSWORD });
    expect(certificates.map(String)).toEqual(
      names.map((name) => String(new X509Certificate(readFileSync(name)))),
    );
  });

  it.for<[string, string[], ErrorCode]>([
    ["-nomac", [...PAIR, "-nomac"], "KEY_UNSUPPORTED"],
    ["RC2 for the key", [...PAIR, ...OLD, "-keypbe", "PBE-SHA1-RC2-40"], "KEY_UNSUPPORTED"],
    ["RC4 for the key", [...PAIR, ...OLD, "-keypbe", "PBE-SHA1-RC4-128"], "KEY_UNSUPPORTED"],
    ["a MAC with MD5", [...PAIR, "-macalg", "md5"], "KEY_UNSUPPORTED"],
    ["1000001 iterations", [...PAIR, "-iter", "1000001"], "KEY_UNSUPPORTED"],
    ["certificates only", ["-nokeys", "-in", CERTIFICATE], "KEY_IS_PUBLIC"],
  ])("is rejected: %s", async ([, args, code], context) => {
    requirePeer(context, "openssl", isThere);
    const bytes = readFileSync(await exportFile(PASSWORD, args));
    await expectCode(readPkcs12(bytes, { password: PASSWORD }), code);
  });

  it.for([
    ["jwe-rsa2048", PAIR_OF_LAYERS],
    ["pkcs7-1rec", PAIR_OF_LAYERS],
    ["pkcs7-2rec", [...PAIR_OF_LAYERS, ...OLD]],
    ["pkcs11-2048-sha1", PAIR_OF_LAYERS],
  ] as const)("opens Go's layer %s", async ([name, args], context) => {
    requirePeer(context, "openssl", isThere);
    const content = readFileSync(await exportFile(PASSWORD, args));
    const ciphertext = readFileSync(join(layers, `${name}.enc`));
    const layer = await decryptLayer(ciphertext, {
      descriptor: {
        mediaType: "application/vnd.oci.image.layer.v1.tar+encrypted",
        digest: `sha256:${createHash("sha256").update(ciphertext).digest("hex")}`,
        size: ciphertext.byteLength,
        annotations: JSON.parse(readFileSync(join(layers, `${name}.json`), "utf8")) as Record<
          string,
          string
        >,
      },
      keys: await keysFromFiles([{ content, password: PASSWORD, label: "key.p12" }]),
    });
    expect(await collect(layer.stream)).toEqual(readFileSync(join(layers, "plain.bin")));
    await layer.finalize();
  });
});
