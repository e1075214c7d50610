import { createPrivateKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import type { KeyInput } from "../../src/keys/material.js";
import { readPrivateKeys } from "../../src/keys/private-key.js";
import { expectCode } from "../support/codes.js";
import { ecPair, pkcs8Pem, UNFIT_PAIRS, nodeKey } from "../support/keys.js";
import { vectorFile, vectorFolder } from "../support/vectors.js";

const PASSWORD = "secret";
const peer = (name: string): Buffer => vectorFile(`peers/keys/${name}`);
const fixture = (name: string): Buffer =>
  readFileSync(new URL(`fixtures/${name}`, import.meta.url));
const pkcs8 = (key: KeyObject): Buffer => nodeKey(key).export({ type: "pkcs8", format: "der" });

const files = [
  ...vectorFolder("peers/keys").map((name) => [name, peer(name)] as const),
  ...vectorFolder("keys").map((name) => [name, vectorFile(`keys/${name}`)] as const),
];
const isPublic = (name: string): boolean => /pub|cert/.test(name);
const isEncrypted = (name: string): boolean => name.includes(".enc-");

/** The key inside a file of the peers, by the plain PKCS#8 file of the same key. */
function expectedKey(name: string): Buffer {
  if (/^(rsa|ec)-/.test(name)) {
    return pkcs8(createPrivateKey(vectorFile(`keys/${name.replace(".jwk", ".pem")}`)));
  }
  return pkcs8(createPrivateKey(peer(`${name.split(".")[0]!}.pkcs8.pem`)));
}

describe("readPrivateKeys", () => {
  const plain = files.filter(([name]) => !isPublic(name) && !isEncrypted(name));
  const encrypted = files.filter(([name]) => isEncrypted(name));

  it("there are files of each kind", () => {
    expect(plain.length).toBeGreaterThan(20);
    expect(encrypted).toHaveLength(5);
  });

  it.each(plain)("reads %s", async (name, bytes) => {
    const inputs: KeyInput[] = [bytes, Uint8Array.from(bytes)];
    if (!name.endsWith(".der")) inputs.push(bytes.toString());
    if (name.endsWith(".jwk")) inputs.push(JSON.parse(bytes.toString()) as KeyInput);
    for (const input of inputs) {
      // A password that is not needed does no harm: one may be given for a whole folder of keys.
      for (const options of [undefined, { password: "not needed" }]) {
        const [read, ...more] = await readPrivateKeys(input, options);
        expect(more).toEqual([]);
        expect(pkcs8(read!.key)).toEqual(expectedKey(name));
      }
    }
  });

  it.each(files.filter(([name]) => isPublic(name)))(
    "rejects %s, no private key",
    async (_, bytes) => {
      await expectCode(() => readPrivateKeys(bytes), "KEY_IS_PUBLIC");
      await expectCode(() => readPrivateKeys(bytes, { password: PASSWORD }), "KEY_IS_PUBLIC");
    },
  );

  describe.each(encrypted)("%s", (name, bytes) => {
    const der = name.includes("pkcs8")
      ? [Buffer.from(bytes.toString().replaceAll(/-----[^-]+-----|\s/g, ""), "base64")]
      : [];
    it.each([bytes, bytes.toString(), bytes.toString().replaceAll("\n", "\r\n"), ...der])(
      "opens with its password only (%#)",
      async (input) => {
        for (const password of [
          PASSWORD,
          Buffer.from(PASSWORD),
          new TextEncoder().encode(PASSWORD),
        ]) {
          const [read] = await readPrivateKeys(input, { password });
          expect(pkcs8(read!.key)).toEqual(expectedKey(name));
        }
        await expectCode(() => readPrivateKeys(input), "PASSWORD_MISSING");
        await expectCode(() => readPrivateKeys(input, {}), "PASSWORD_MISSING");
        for (const password of ["", "Secret", "secret\n", " secret", "wrong", new Uint8Array(0)]) {
          await expectCode(() => readPrivateKeys(input, { password }), "PASSWORD_WRONG");
        }
      },
    );
  });

  // A wrong password makes right padding out of every 256th garbage, and OpenSSL fails elsewhere.
  it("reports a wrong password, however decryption fails", async () => {
    const pem = ecPair()
      .privateKey.export({
        type: "sec1",
        format: "pem",
        cipher: "aes-128-cbc",
        passphrase: "right",
      })
      .toString();
    for (let i = 0; i < 1500; i++) {
      await expectCode(
        () => readPrivateKeys(pem, { password: `wrong ${String(i)}` }),
        "PASSWORD_WRONG",
      );
    }
  });

  const passwords = [
    "a:b::c",
    ":",
    "two words ",
    " ",
    "Zürich, Straße",
    "пароль",
    "🔑👩‍🚀",
    "line\nbreak\r\n",
    "tab\tand \"quotes\" '$HOME' \\ %s",
    "pass=secret",
    "nul\0inside",
    "",
    "x".repeat(1024),
  ];
  describe.each(["pkcs8", "sec1"] as const)("%s", (type) => {
    // Node.js 24 does not write the older form with an empty password.
    const possible = passwords.filter((password) => type === "pkcs8" || password !== "");
    it.each(possible)("opens with the password %j", async (password) => {
      const { privateKey } = ecPair();
      const options = { cipher: "aes-256-cbc", passphrase: password };
      const pem = privateKey.export({ type, format: "pem", ...options }).toString();
      for (const given of [password, Buffer.from(password, "utf8")]) {
        expect(pkcs8((await readPrivateKeys(pem, { password: given }))[0]!.key)).toEqual(
          pkcs8(privateKey),
        );
      }
      const wrong = `y${password.slice(1)}`;
      await expectCode(() => readPrivateKeys(pem, { password: wrong }), "PASSWORD_WRONG");
      const tooLong = "x".repeat(1025);
      await expectCode(() => readPrivateKeys(pem, { password: tooLong }), "KEY_UNSUPPORTED");
      await expectCode(() => readPrivateKeys(pem), "PASSWORD_MISSING");
    });
  });

  it("opens with any password", async () => {
    const { privateKey } = ecPair();
    const characters = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(characters, async (password) => {
        const options = { cipher: "aes-128-cbc", passphrase: password };
        const pem = privateKey.export({ type: "sec1", format: "pem", ...options });
        expect(pkcs8((await readPrivateKeys(pem, { password }))[0]!.key)).toEqual(
          pkcs8(privateKey),
        );
      }),
      { numRuns: 50 },
    );
  });

  it("reads scrypt, and a key after its parameters", async () => {
    const expected = pkcs8(createPrivateKey(fixture("with-parameters.pem")));
    expect(pkcs8((await readPrivateKeys(fixture("with-parameters.pem")))[0]!.key)).toEqual(
      expected,
    );
    const scrypt = fixture("scrypt.pem");
    expect(pkcs8((await readPrivateKeys(scrypt, { password: PASSWORD }))[0]!.key)).toEqual(
      expected,
    );
    await expectCode(() => readPrivateKeys(scrypt, { password: "wrong" }), "PASSWORD_WRONG");
  });

  it.each(["dek-info-des.pem", "pbe-md5-des.pem", "pbe-sha1-rc2.der"])(
    "rejects the cipher of %s, whatever the password",
    async (name) => {
      for (const password of [PASSWORD, "wrong"]) {
        await expectCode(() => readPrivateKeys(fixture(name), { password }), "KEY_UNSUPPORTED");
      }
      await expectCode(() => readPrivateKeys(fixture(name)), "PASSWORD_MISSING");
    },
  );

  it.each(["aes-192-cbc", "aria-256-cbc", "camellia-256-cbc", "des-ede3-cbc"])(
    "opens PEM with a DEK-Info header for %s only with its password",
    async (cipher) => {
      const key = createPrivateKey(fixture("with-parameters.pem"));
      const locked = key.export({ type: "sec1", format: "pem", cipher, passphrase: PASSWORD });
      expect(locked).toContain(`DEK-Info: ${cipher.toUpperCase()},`);
      const [read] = await readPrivateKeys(locked, { password: PASSWORD });
      expect(pkcs8(read!.key)).toEqual(pkcs8(key));
      await expectCode(() => readPrivateKeys(locked, { password: "wrong" }), "PASSWORD_WRONG");
    },
  );

  const PEM = vectorFile("keys/ec-p384.pem").toString();
  const expected = pkcs8(createPrivateKey(PEM));

  it.each<[string, string]>([
    ["a byte order mark", `\uFEFF${PEM}`],
    ["CRLF", PEM.replaceAll("\n", "\r\n")],
    ["text around it", `Bag Attributes\n    friendlyName: x\n${PEM}\n# the end`],
    ["a certificate before it", `${peer("cert-ec256.pem").toString()}${PEM}`],
    ["its public key behind it", `${PEM}${vectorFile("keys/ec-p384.pub.pem").toString()}`],
  ])("reads PEM with %s", async (_, text) => {
    for (const input of [text, Buffer.from(text)]) {
      const [read, ...more] = await readPrivateKeys(input);
      expect(more).toEqual([]);
      expect(pkcs8(read!.key)).toEqual(expected);
    }
  });

  it("reads all keys of a file", async () => {
    const text = `${PEM}${vectorFile("keys/rsa-2048.pem").toString()}`;
    const keys = await readPrivateKeys(text);
    expect(keys.map(({ key }) => key.asymmetricKeyType)).toEqual(["ec", "rsa"]);
  });

  // OpenSSL imports them, and exporting them as a JWK ends the process with a failed assertion.
  describe("an EC key whose number is longer than its curve's order", () => {
    const jwk = ecPair().privateKey.export({ format: "jwk" });
    const sec1 = ecPair().privateKey.export({ type: "sec1", format: "der" });
    const long = Buffer.alloc(40, 0xab);
    // SEQUENCE, version 1, OCTET STRING of 32 bytes, parameters and public key.
    const longer = Buffer.concat([
      Buffer.of(0x30, sec1[1]! + 8, 2, 1, 1, 4, 40),
      long,
      sec1.subarray(7 + 32),
    ]);
    const pem = `-----BEGIN EC PRIVATE KEY-----\n${longer.toString("base64")}\n-----END EC PRIVATE KEY-----\n`;

    it.each([
      ["as a JWK", { ...jwk, d: long.toString("base64url") }],
      ["as SEC1", longer],
      ["as PEM", pem],
    ] as [string, KeyInput][])("is rejected %s", async (_, input) => {
      await expectCode(() => readPrivateKeys(input), "KEY_UNRECOGNIZED");
    });
  });

  it("reads keys that JWE cannot use but other schemes may", async () => {
    for (const [name, make] of Object.entries(UNFIT_PAIRS)) {
      if (name.startsWith("RSA of")) continue;
      const { privateKey } = make();
      expect(pkcs8((await readPrivateKeys(pkcs8Pem(privateKey)))[0]!.key)).toEqual(
        pkcs8(privateKey),
      );
      expect(pkcs8((await readPrivateKeys(pkcs8(privateKey)))[0]!.key)).toEqual(pkcs8(privateKey));
    }
  });

  const asPem = (label: string, bytes: Buffer): string =>
    `-----BEGIN ${label}-----\n${bytes.toString("base64")}\n-----END ${label}-----\n`;
  const damaged = Buffer.from(expected);
  damaged[6] = 0x7f;

  it.each<[string, KeyInput, ErrorCode]>([
    ["nothing", "", "KEY_UNRECOGNIZED"],
    ["no bytes", new Uint8Array(0), "KEY_UNRECOGNIZED"],
    ["garbage", Buffer.from("garbage"), "KEY_UNRECOGNIZED"],
    ["a PEM that is cut", PEM.slice(0, 100), "KEY_UNRECOGNIZED"],
    ["a PEM whose body is cut", PEM.replace(/.{20}\n-----END/, "\n-----END"), "KEY_UNRECOGNIZED"],
    ["a PEM of garbage", asPem("PRIVATE KEY", Buffer.from("garbage")), "KEY_UNRECOGNIZED"],
    [
      "an RSA PEM with an EC key",
      asPem("RSA PRIVATE KEY", expected).slice(0, 99),
      "KEY_UNRECOGNIZED",
    ],
    ["an OpenSSH key", asPem("OPENSSH PRIVATE KEY", Buffer.alloc(9)), "KEY_UNRECOGNIZED"],
    ["a PGP key", asPem("PGP PRIVATE KEY BLOCK", Buffer.alloc(9)), "KEY_UNRECOGNIZED"],
    ["PKCS#12", fixture("key-and-certificate.p12"), "KEY_UNSUPPORTED"],
    ["DER that is cut", expected.subarray(0, 50), "KEY_UNRECOGNIZED"],
    ["DER that is damaged", damaged, "KEY_UNRECOGNIZED"],
    ["a huge file", new Uint8Array(1024 * 1024 + 1), "KEY_UNRECOGNIZED"],
  ])("rejects %s", async (_, input, code) => {
    const error = await expectCode(() => readPrivateKeys(input, { password: PASSWORD }), code);
    expect(error.message.length).toBeLessThan(300);
  });

  it("rejects a plain body with a header for encryption", async () => {
    const header = "Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,0011223344556677\n\n";
    const text = asPem("RSA PRIVATE KEY", peer("rsa2048.pkcs1.der")).replace("\n", `\n${header}`);
    await expectCode(() => readPrivateKeys(text), "PASSWORD_MISSING");
    await expectCode(() => readPrivateKeys(text, { password: PASSWORD }), "KEY_UNSUPPORTED");
  });

  it("puts neither key nor password into errors", async () => {
    const password = "correct horse battery staple";
    const inputs = [
      peer("rsa2048.pkcs8.enc-v2.pem"),
      PEM.replace(/.{20}\n-----END/, "\n-----END"),
      damaged,
    ];
    for (const input of inputs) {
      let thrown: unknown;
      try {
        await readPrivateKeys(input, { password });
      } catch (error) {
        thrown = error;
      }
      const { message, cause } = thrown as Error;
      const text = `${message} ${String(cause)} ${JSON.stringify(cause)}`;
      expect(text).not.toContain(password);
      expect(text).not.toContain(PEM.slice(60, 80));
    }
  });
});
