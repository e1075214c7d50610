import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isOcicryptError, type ErrorCode } from "../../src/errors.js";
import { readPkcs12 } from "../../src/keys/pkcs12/pkcs12.js";
import { expectCode } from "../support/codes.js";
import { vectorFile } from "../support/vectors.js";
import {
  algorithm,
  bag,
  certificateBag,
  DATA,
  encrypt,
  encryptedSafe,
  file,
  implicit,
  integer,
  keyBag,
  octets,
  oid,
  PASSWORD,
  pbes2,
  HMAC_SHA256,
  pbkdf2,
  pbmac1,
  pbmac1Derivation,
  pfx,
  plainSafe,
  sequence,
  set,
  shroudedBag,
  tagged,
} from "./pkcs12-builder.js";
import { nodeKey } from "../support/keys.js";

const UNICODE = "Zürich, пароль 🔑";
const fixture = (name: string): Buffer =>
  readFileSync(new URL(`fixtures/pkcs12/${name}.p12`, import.meta.url));
const peer = (name: string): Buffer => vectorFile(`peers/keys/${name}`);
const chainFile = (name: string): Buffer =>
  readFileSync(new URL(`../keywrap/pkcs7/fixtures/${name}`, import.meta.url));
const der = (key: KeyObject): Buffer => nodeKey(key).export({ type: "pkcs8", format: "der" });

const EC = createPrivateKey(peer("ec256.pkcs8.pem"));
const RSA = createPrivateKey(peer("rsa2048.pkcs8.pem"));
const EC_CERTIFICATE = new X509Certificate(peer("cert-ec256.pem"));
const RSA_CERTIFICATE = new X509Certificate(peer("cert-rsa2048.pem"));

async function expectContents(
  bytes: Uint8Array,
  password: string | Uint8Array,
  keys: readonly KeyObject[],
  certificates: readonly X509Certificate[],
): Promise<void> {
  const read = await readPkcs12(bytes, { password });
  expect(read.privateKeys.map(der)).toEqual(keys.map(der));
  expect(read.certificates.map(({ raw }) => raw)).toEqual(certificates.map(({ raw }) => raw));
}

describe("readPkcs12", () => {
  const ec = [[EC], [EC_CERTIFICATE]] as const;
  const CHAIN = ["leaf", "intermediate", "root"].map(
    (name) => new X509Certificate(chainFile(`${name}.pem`)),
  );
  it.each<[string, string, readonly KeyObject[], readonly X509Certificate[]]>([
    ["default", PASSWORD, [RSA], [RSA_CERTIFICATE]],
    ["default-ec", PASSWORD, ...ec],
    ["legacy", PASSWORD, [EC], []], // its certificate is encrypted with RC2
    ["pbe-3des", PASSWORD, ...ec],
    ["pbe-2des", PASSWORD, ...ec],
    ["aes-128", PASSWORD, ...ec],
    ["aes-192", PASSWORD, ...ec],
    ["mac-sha224", PASSWORD, ...ec],
    ["mac-sha512-256", PASSWORD, ...ec],
    ["plain", PASSWORD, ...ec],
    ["plain-key", PASSWORD, ...ec],
    ["plain-certificate", PASSWORD, ...ec],
    ["one-iteration", PASSWORD, ...ec],
    ["certificate-iterations", PASSWORD, [EC], []],
    ["camellia-key", PASSWORD, ...ec],
    ["empty-password", "", ...ec],
    ["empty-password-3des", "", ...ec],
    ["no-password-3des", "", [EC], []],
    ["unicode-password", UNICODE, ...ec],
    ["unicode-password-3des", UNICODE, ...ec],
    ["long-password-3des", "long".repeat(50), ...ec],
    ["no-certificate", PASSWORD, [EC], []],
    ["chain", PASSWORD, [RSA], CHAIN],
    [
      "keytool",
      PASSWORD,
      [RSA, EC],
      [RSA_CERTIFICATE, EC_CERTIFICATE, new X509Certificate(peer("cert-rsa3072.pem"))],
    ],
    ["pbmac1", PASSWORD, ...ec],
    ["pbmac1-unicode", "Zürich, пароль", ...ec],
    ["ber", PASSWORD, ...ec],
  ])("opens %s.p12 only with its password", async (name, password, keys, certificates) => {
    const bytes = fixture(name);
    const before = Buffer.from(bytes);
    await expectContents(bytes, password, keys, certificates);
    await expectContents(Uint8Array.from(bytes), Buffer.from(password), keys, certificates);
    expect(bytes).toEqual(before);

    await expectCode(readPkcs12(bytes), "PASSWORD_MISSING");
    await expectCode(readPkcs12(bytes, { password: undefined }), "PASSWORD_MISSING");
    const wrong = ["Secret", `${password}x`, password === "" ? "secret" : ""];
    for (const other of [...wrong, Buffer.from([0xff, 0xfe])]) {
      await expectCode(readPkcs12(bytes, { password: other }), "PASSWORD_WRONG");
    }
  });

  it("reads a key that no scheme supports", async () => {
    const { privateKeys } = await readPkcs12(fixture("ed25519"), { password: PASSWORD });
    expect(privateKeys.map(({ asymmetricKeyType }) => asymmetricKeyType)).toEqual(["ed25519"]);
  });

  it.each<[string, ErrorCode]>([
    ["rc2-key", "KEY_UNSUPPORTED"],
    ["rc4-key", "KEY_UNSUPPORTED"],
    ["key-iterations", "KEY_UNSUPPORTED"],
    ["certificate-only", "KEY_IS_PUBLIC"],
  ])("rejects %s.p12 if the password is right", async (name, code) => {
    await expectCode(readPkcs12(fixture(name), { password: PASSWORD }), code);
    // Nothing of what the file says is looked at before its MAC is right.
    await expectCode(readPkcs12(fixture(name), { password: "wrong" }), "PASSWORD_WRONG");
    await expectCode(readPkcs12(fixture(name)), "PASSWORD_MISSING");
  });

  it.each(["no-mac", "plain-no-mac", "mac-md5", "mac-iterations"])(
    "rejects %s.p12 whatever the password",
    async (name) => {
      for (const password of [PASSWORD, "wrong", undefined]) {
        await expectCode(readPkcs12(fixture(name), { password }), "KEY_UNSUPPORTED");
      }
    },
  );

  it("names the part that it cannot read", async () => {
    const error = await expectCode(
      readPkcs12(fixture("rc2-key"), { password: PASSWORD }),
      "KEY_UNSUPPORTED",
    );
    expect(error.message).toContain("RC2");
  });
});

describe("the structure of a PKCS#12 file", () => {
  const otherPart = sequence(oid("1.2.840.113549.1.7.3"), tagged(sequence(integer(2))));
  const nested = (depth: number): Uint8Array =>
    depth === 0 ? keyBag(EC) : bag(6, sequence(nested(depth - 1)));
  const shrouded = shroudedBag(encrypt(der(EC)));
  const withSha1 = pbkdf2(octets(Buffer.from("salt and pepper")), integer(10));
  const half = encrypt(sequence(keyBag(EC)));
  const parts = [half.subarray(0, 16), half.subarray(16)].map(octets);

  it.each<[string, Uint8Array, KeyObject[], X509Certificate[]]>([
    ["a plain key", file([plainSafe(keyBag(EC))]), [EC], []],
    ["an encrypted key", file([plainSafe(shrouded)]), [EC], []],
    ["keys in two parts", file([plainSafe(keyBag(EC)), plainSafe(keyBag(RSA))]), [EC, RSA], []],
    ["a key in an encrypted part", file([encryptedSafe(implicit(half))]), [EC], []],
    ["content in pieces, as in BER", file([encryptedSafe(tagged(...parts))]), [EC], []],
    ["an empty part beside", file([plainSafe(), plainSafe(keyBag(EC))]), [EC], []],
    ["SafeContents in SafeContents", file([plainSafe(nested(2))]), [EC], []],
    [
      "attributes of a bag",
      file([
        plainSafe(
          sequence(
            oid("1.2.840.113549.1.12.10.1.2"),
            tagged(sequence(pbes2(), octets(encrypt(der(EC))))),
            set(),
          ),
        ),
      ]),
      [EC],
      [],
    ],
    [
      "PBKDF2 without a PRF, which is SHA-1 then",
      file([plainSafe(shroudedBag(encrypt(der(EC), PASSWORD, "sha1"), pbes2(withSha1)))]),
      [EC],
      [],
    ],
    [
      "a CRL, a secret and a bag of an unknown kind",
      file([plainSafe(bag(4, sequence()), bag(5, sequence()), bag(99, octets(half)), keyBag(EC))]),
      [EC],
      [],
    ],
    [
      "a certificate that is not X.509",
      file([plainSafe(certificateBag(half, "1.2.840.113549.1.9.22.2"), keyBag(EC))]),
      [EC],
      [],
    ],
    ["a part for a public key", file([otherPart, plainSafe(keyBag(EC))]), [EC], []],
    [
      "a MAC with a longer key",
      file([plainSafe(keyBag(EC))], (contents) =>
        pbmac1(contents, pbmac1Derivation(integer(256)), 256),
      ),
      [EC],
      [],
    ],
  ])("%s is read", async (_, bytes, keys, certificates) => {
    await expectContents(bytes, PASSWORD, keys, certificates);
    await expectCode(readPkcs12(bytes, { password: "wrong" }), "PASSWORD_WRONG");
  });

  const key = plainSafe(keyBag(EC));
  const contents = sequence(key);
  const good = file([key]);
  const iterations = (count: Uint8Array): Uint8Array =>
    file([plainSafe(shroudedBag(half, pbes2(pbkdf2(octets(half), count))))]);
  const withMac = (...macData: Uint8Array[]): Uint8Array =>
    pfx(tagged(octets(contents)), sequence(...macData));
  const sha1 = sequence(algorithm("1.3.14.3.2.26"), octets(Buffer.alloc(20)));
  const weakMac = (size: number): Uint8Array =>
    file([key], (bytes) => pbmac1(bytes, pbmac1Derivation(integer(size)), size));
  const garbage = Buffer.from("not a key at all");

  it.each<[string, Uint8Array, ErrorCode]>([
    ["nothing", new Uint8Array(0), "KEY_UNRECOGNIZED"],
    ["garbage", garbage, "KEY_UNRECOGNIZED"],
    ["more than a file", Buffer.concat([good, Buffer.alloc(1)]), "KEY_UNRECOGNIZED"],
    ["a huge file", Buffer.alloc(1024 * 1024 + 1), "KEY_UNRECOGNIZED"],
    ["version 1", pfx(tagged(octets(contents)), pbmac1(contents), 1), "KEY_UNSUPPORTED"],
    [
      "a signature instead of a MAC",
      pfx(tagged(octets(contents)), pbmac1(contents), 3, "1.2.840.113549.1.7.2"),
      "KEY_UNSUPPORTED",
    ],
    ["no content", sequence(integer(3), sequence(oid(DATA)), pbmac1(contents)), "KEY_UNRECOGNIZED"],
    [
      "two contents",
      pfx(tagged(octets(contents), octets(contents)), pbmac1(contents)),
      "KEY_UNRECOGNIZED",
    ],
    ["a MAC without its salt", withMac(sha1), "KEY_UNRECOGNIZED"],
    ["a MAC of 0 iterations", withMac(sha1, octets(half), integer(0)), "KEY_UNRECOGNIZED"],
    [
      "a MAC of -1 iterations",
      withMac(sha1, octets(half), Buffer.from("0201ff", "hex")),
      "KEY_UNRECOGNIZED",
    ],
    ["a MAC of 2^40 iterations", withMac(sha1, octets(half), integer(2 ** 40)), "KEY_UNSUPPORTED"],
    [
      "a MAC of 2^64 iterations",
      withMac(sha1, octets(half), Buffer.from("0209010000000000000000", "hex")),
      "KEY_UNRECOGNIZED",
    ],
    [
      "a MAC of the wrong size",
      withMac(sequence(algorithm("1.3.14.3.2.26"), octets(Buffer.alloc(19))), octets(half)),
      "PASSWORD_WRONG",
    ],
    [
      "a MAC of no bytes",
      withMac(sequence(algorithm("1.3.14.3.2.26"), octets(Buffer.alloc(0))), octets(half)),
      "PASSWORD_WRONG",
    ],
    ["a MAC with a key of 19 bytes", weakMac(19), "KEY_UNSUPPORTED"],
    ["a MAC with a key of 1025 bytes", weakMac(1025), "KEY_UNSUPPORTED"],
    [
      "a MAC with a key of unknown size",
      file([key], (bytes) => pbmac1(bytes, pbmac1Derivation())),
      "KEY_UNSUPPORTED",
    ],
    [
      "a MAC that is no HMAC",
      file([key], (bytes) => pbmac1(bytes, pbkdf2(), 32, "1.2.3")),
      "KEY_UNSUPPORTED",
    ],
    [
      "a MAC whose long key takes 32 times as many iterations",
      file([key], (bytes) =>
        pbmac1(
          bytes,
          pbkdf2(octets(half), integer(2_000_000), integer(1024), algorithm(HMAC_SHA256)),
        ),
      ),
      "KEY_UNSUPPORTED",
    ],
    ["a hundred and one parts", file(Array<Uint8Array>(101).fill(key)), "KEY_UNSUPPORTED"],
    [
      "more than a hundred keys in one part",
      file([plainSafe(...Array<Uint8Array>(102).fill(keyBag(EC)))]),
      "KEY_UNSUPPORTED",
    ],
    [
      "PBMAC1 without PBKDF2",
      file([key], (bytes) => pbmac1(bytes, algorithm("1.3.6.1.4.1.11591.4.11"))),
      "KEY_UNSUPPORTED",
    ],
    ["no parts", file([]), "KEY_UNRECOGNIZED"],
    ["no bags", file([plainSafe()]), "KEY_UNRECOGNIZED"],
    ["secrets only", file([plainSafe(bag(5, sequence()))]), "KEY_UNRECOGNIZED"],
    ["a certificate only", file([plainSafe(certificateBag(EC_CERTIFICATE.raw))]), "KEY_IS_PUBLIC"],
    ["a part for a public key only", file([otherPart]), "KEY_UNSUPPORTED"],
    [
      "a damaged certificate",
      file([plainSafe(keyBag(EC), certificateBag(garbage))]),
      "KEY_UNRECOGNIZED",
    ],
    ["a damaged key", file([plainSafe(bag(1, sequence(integer(0))))]), "KEY_UNRECOGNIZED"],
    [
      "a key of an unknown kind",
      file([plainSafe(bag(1, sequence(integer(0), algorithm("1.2.3"), octets(half))))]),
      "KEY_UNRECOGNIZED",
    ],
    [
      "a bag without a value",
      file([plainSafe(sequence(oid("1.2.840.113549.1.12.10.1.1")))]),
      "KEY_UNRECOGNIZED",
    ],
    ["too many SafeContents in one another", file([plainSafe(nested(100))]), "KEY_UNRECOGNIZED"],
    ["an encrypted part without content", file([encryptedSafe(octets(half))]), "KEY_UNRECOGNIZED"],
    [
      "content of half a block",
      file([encryptedSafe(implicit(half.subarray(1)))]),
      "PASSWORD_WRONG",
    ],
    [
      "another password for a part beside a key",
      file([encryptedSafe(implicit(encrypt(sequence(), "other"))), key]),
      "PASSWORD_WRONG",
    ],
    [
      "an encrypted part that is damaged beside a key",
      file([encryptedSafe(octets(half)), key]),
      "KEY_UNRECOGNIZED",
    ],
    [
      "another password for a key",
      file([plainSafe(shroudedBag(encrypt(der(EC), "other")))]),
      "PASSWORD_WRONG",
    ],
    [
      "another password for a part",
      file([encryptedSafe(implicit(encrypt(sequence(keyBag(EC)), "other")))]),
      "PASSWORD_WRONG",
    ],
    [
      "an encrypted key without a key",
      file([plainSafe(shroudedBag(encrypt(garbage)))]),
      "PASSWORD_WRONG",
    ],
    [
      "an encrypted part without content",
      file([encryptedSafe(implicit(encrypt(garbage)))]),
      "PASSWORD_WRONG",
    ],
    ["0 iterations", iterations(integer(0)), "KEY_UNRECOGNIZED"],
    ["2000001 iterations", iterations(integer(2_000_001)), "KEY_UNSUPPORTED"],
    [
      "a key size that does not fit",
      file([plainSafe(shroudedBag(half, pbes2(pbkdf2(octets(half), integer(1), integer(16)))))]),
      "KEY_UNRECOGNIZED",
    ],
    [
      "an IV that does not fit",
      file([
        plainSafe(
          shroudedBag(
            half,
            pbes2(pbkdf2(), algorithm("2.16.840.1.101.3.4.1.42", octets(Buffer.alloc(15)))),
          ),
        ),
      ]),
      "KEY_UNRECOGNIZED",
    ],
    [
      "a salt from elsewhere",
      file([plainSafe(shroudedBag(half, pbes2(pbkdf2(algorithm("1.2.3"), integer(1)))))]),
      "KEY_UNRECOGNIZED",
    ],
    [
      "scrypt without parameters",
      file([plainSafe(shroudedBag(half, pbes2(algorithm("1.3.6.1.4.1.11591.4.11"))))]),
      "KEY_UNRECOGNIZED",
    ],
    [
      "an unknown PRF",
      file([
        plainSafe(shroudedBag(half, pbes2(pbkdf2(octets(half), integer(1), algorithm("1.2.3"))))),
      ]),
      "KEY_UNSUPPORTED",
    ],
    [
      "an unknown encryption",
      file([plainSafe(shroudedBag(half, algorithm("1.2.3")))]),
      "KEY_UNSUPPORTED",
    ],
    [
      "an unknown encryption beside a key",
      file([plainSafe(keyBag(EC), shroudedBag(half, algorithm("1.2.3")))]),
      "KEY_UNSUPPORTED",
    ],
    [
      "PBES2 without parameters",
      file([plainSafe(shroudedBag(half, algorithm("1.2.840.113549.1.5.13")))]),
      "KEY_UNRECOGNIZED",
    ],
  ])("%s is rejected", async (_, bytes, code) => {
    const error = await expectCode(readPkcs12(bytes, { password: PASSWORD }), code);
    expect(error.message.length).toBeLessThan(200);
  });

  it("rejects a file that is cut off anywhere", async () => {
    for (let size = 0; size < good.byteLength; size++) {
      await expectCode(
        readPkcs12(good.subarray(0, size), { password: PASSWORD }),
        "KEY_UNRECOGNIZED",
      );
    }
  });

  it("returns the right key or none, whichever byte is changed", async () => {
    const bytes = fixture("one-iteration");
    const from = bytes.indexOf(Buffer.from("2a864886f70d010701", "hex")) + 18; // the contents
    const codes: string[] = [];
    for (const [index, byte] of bytes.entries()) {
      const changed = Buffer.from(bytes);
      changed[index] = byte ^ 0x01;
      codes.push(
        await readPkcs12(changed, { password: PASSWORD }).then(
          ({ privateKeys: [read] }) => (der(read!).equals(der(EC)) ? "opened" : "another key"),
          (error: unknown) => (isOcicryptError(error) ? error.code : "another error"),
        ),
      );
    }
    expect(new Set(codes.slice(from, from + 900))).toEqual(new Set(["PASSWORD_WRONG"]));
    const possible = ["KEY_UNRECOGNIZED", "KEY_UNSUPPORTED", "PASSWORD_WRONG", "opened"];
    expect(codes.filter((code) => !possible.includes(code))).toEqual([]);
  });

  it("puts neither key nor password into its errors", async () => {
    const password = "correct horse battery staple";
    const damaged = der(EC).fill(0x55, 8, 24); // the identifiers of its kind
    const cases: [Uint8Array, string, ErrorCode][] = [
      [good, password, "PASSWORD_WRONG"],
      [fixture("rc2-key"), password, "PASSWORD_WRONG"],
      [fixture("rc2-key"), PASSWORD, "KEY_UNSUPPORTED"],
      [file([plainSafe(bag(1, damaged))]), PASSWORD, "KEY_UNRECOGNIZED"],
    ];
    for (const [bytes, given, code] of cases) {
      const { message, cause } = await expectCode(readPkcs12(bytes, { password: given }), code);
      const text = `${message} ${String(cause)} ${JSON.stringify(cause)}`;
      expect(text).not.toContain(given);
      expect(text).not.toContain(damaged.toString("base64").slice(60, 80));
      expect(text).not.toContain(damaged.toString("hex").slice(80, 110));
    }
  });
});
