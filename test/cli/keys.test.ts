import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { openDestination, openSource, shownImage } from "../../src/cli/images.js";
import { readKeys } from "../../src/cli/keys.js";
import { readRecipients } from "../../src/cli/recipients.js";
import type { ErrorCode } from "../../src/errors.js";
import { UsageError } from "../../src/cli/errors.js";
import { expectCode } from "../support/codes.js";
import { temporaryDirectories } from "../support/image.js";

const directory = temporaryDirectories();

const PEERS = fileURLToPath(new URL("../../vectors/peers/keys/", import.meta.url));
const VECTORS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));

const STRANGE = "a:b c=\u00fc\u{1f511}'\"$%";

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

function locked(password: string | Buffer): string {
  const options = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc" } as const;
  return privateKey.export({ ...options, passphrase: password }).toString();
}

let files: string;
let strange: string;

beforeAll(() => {
  files = directory();
  strange = join(files, "strange.pem");
  writeFileSync(strange, locked(STRANGE));
  writeFileSync(join(files, "a:b.pem"), locked("pw"));
  writeFileSync(join(files, "a:b.pem:pw"), locked("other"));
  writeFileSync(join(files, "plain.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
  writeFileSync(join(files, "public.pem"), publicKey.export({ type: "spki", format: "pem" }));
  mkdirSync(join(files, "folder"));
});

afterEach(() => {
  vi.unstubAllEnvs();
});

async function labels(...texts: string[]): Promise<(string | undefined)[]> {
  const keys = await readKeys(texts);
  return [...new Set(keys.map(({ label }) => label))];
}

async function usageError(refused: Promise<unknown>): Promise<UsageError> {
  const error: unknown = await refused.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UsageError);
  return error as UsageError;
}

async function failed(attempt: Promise<unknown>): Promise<Error> {
  const error: unknown = await attempt.then(
    () => expect.unreachable(),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error;
}

describe("a key's password", () => {
  it.each([
    ["pass=", () => `pass=${STRANGE}`],
    ["nothing, as skopeo writes it", () => STRANGE],
    ["env=", () => (vi.stubEnv("OCICRYPT_TEST", STRANGE), "env=OCICRYPT_TEST")],
  ])("is accepted after %s", async (_, password) => {
    expect(await labels(`${strange}:${password()}`)).toEqual([strange]);
  });

  it("in a variable is hidden from the programs that the command starts", async () => {
    vi.stubEnv("OCICRYPT_TEST", STRANGE);
    const twice = await labels(`${strange}:env=OCICRYPT_TEST`, `${strange}:env=OCICRYPT_TEST`);
    expect(twice).toEqual([strange]);
    const script = "process.stdout.write(JSON.stringify(process.env))";
    const seen = execFileSync(process.execPath, ["-e", script], { encoding: "utf8" });
    expect(seen).toContain("PATH");
    expect(seen).not.toContain("OCICRYPT_TEST");
  });

  it.each([
    ["no line end", ""],
    ["a line end", "\n"],
    ["Windows's line end", "\r\n"],
  ])("is read from a file with %s", async (_, end) => {
    const file = join(files, "pass:word.txt");
    writeFileSync(file, STRANGE + end);
    expect(await labels(`${strange}:file=${file}`)).toEqual([strange]);
    const descriptor = openSync(file, "r");
    try {
      expect(await labels(`${strange}:fd=${String(descriptor)}`)).toEqual([strange]);
    } finally {
      closeSync(descriptor);
    }
  });

  it("is the whole file except the last line end", async () => {
    const file = join(files, "two-ends.txt");
    writeFileSync(file, `${STRANGE}\n\n`);
    await expectCode(readKeys([`${strange}:file=${file}`]), "PASSWORD_WRONG");
    const key = join(files, "with-end.pem");
    writeFileSync(key, locked(`${STRANGE}\n`));
    expect(await labels(`${key}:file=${file}`)).toEqual([key]);
  });

  it("may consist of any bytes in a file", async () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x80, 0x3a]);
    const [key, file] = [join(files, "bytes.pem"), join(files, "bytes.txt")];
    writeFileSync(key, locked(bytes));
    writeFileSync(file, bytes);
    expect(await labels(`${key}:file=${file}`)).toEqual([key]);
  });

  it("that looks like another form is accepted after pass=", async () => {
    const key = join(files, "env.pem");
    writeFileSync(key, locked("env=HOME"));
    expect(await labels(`${key}:pass=env=HOME`)).toEqual([key]);
  });

  it.each([
    ["wrong", "pass=wrong", "PASSWORD_WRONG"],
    ["wrong, bare", "wrong", "PASSWORD_WRONG"],
    ["in another case", `pass=${STRANGE.toUpperCase()}`, "PASSWORD_WRONG"],
    ["empty", "pass=", "PASSWORD_WRONG"],
    ["in a file that is not there", "file=/nonexistent/file", "KEY_UNREADABLE"],
  ] as const)("is rejected if it is %s", async (_, password, code) => {
    const { message } = await expectCode(readKeys([`${strange}:${password}`]), code);
    expect(message).not.toContain("wrong");
    expect(message).not.toContain(STRANGE);
  });

  it.each([
    [
      "env=OCICRYPT_NO_SUCH_VARIABLE",
      "no environment variable OCICRYPT_NO_SUCH_VARIABLE",
      "export OCICRYPT_NO",
    ],
    ["fd=three", "number of a file descriptor", "FILE:fd=3 3< PASSWORDFILE"],
    ["fd=", "number of a file descriptor", "FILE:fd=3 3< PASSWORDFILE"],
    ["fd=-1", "number of a file descriptor", "FILE:fd=3 3< PASSWORDFILE"],
    ["fd=999999", "the file descriptor 999999 of fd= cannot be read (EBADF)", "FILE:fd=3 3<"],
    ["prompt", "no terminal", "FILE:file=PASSWORDFILE"],
  ])("cannot come from %s", async (password, said, hint) => {
    const error = await usageError(readKeys([`${strange}:${password}`]));
    expect(error.message).toContain(said);
    expect(error.hint).toContain(hint);
  });

  it.each(["hunter2", "Hunter_2", "__proto__", "constructor", "toString", "a=b"])(
    "is not quoted if env= is followed by %s, which may be the password",
    async (name) => {
      const error = await usageError(readKeys([`${strange}:env=${name}`]));
      expect(error.message).toBe("there is no environment variable of the name after env=");
      expect(error.hint).not.toContain(name);
    },
  );

  it.each(["hunter2", "a:b c"])(
    "is not quoted if file= is followed by %s, which may be the password",
    async (name) => {
      const { message } = await expectCode(readKeys([`${strange}:file=${name}`]), "KEY_UNREADABLE");
      expect(message).toBe(
        `there is no such file for the password of ${strange}; name a file, not its content`,
      );
    },
  );

  it.each([
    ["password=x", "pass"],
    ["passwd=x", "pass"],
    ["PASS=x", "pass"],
    ["password-file=x", "file"],
    ["passfile=x", "file"],
    ["environment=x", "env"],
  ])("is rejected in the mistyped form %s", async (text, form) => {
    const error = await usageError(readKeys([`${strange}:${text}`]));
    expect(error.message).toMatch(/^\S+= is not a way to give a password$/);
    expect(error.hint).toContain(`FILE:${form}=…`);
  });

  it("is requested with the name of the file that needs it", async () => {
    const { message } = await expectCode(readKeys([strange]), "PASSWORD_MISSING");
    expect(message).toContain(strange);
  });
});

describe("a key's file", () => {
  it("is the longest part of the argument that names a file", async () => {
    expect(await labels(`${files}/a:b.pem:pw:pass=other`)).toEqual([`${files}/a:b.pem:pw`]);
  });

  it("may contain colons in its name", async () => {
    expect(await labels(`${files}/a:b.pem:pass=pw`)).toEqual([`${files}/a:b.pem`]);
    await expectCode(readKeys([`${files}/a:b.pem:pw`]), "PASSWORD_MISSING");
  });

  it.each([
    "rsa2048.pkcs1.enc-aes256.pem",
    "rsa2048.pkcs1.enc-des3.pem",
    "rsa2048.pkcs8.enc-v1.pem",
    "rsa2048.pkcs8.enc-v2.pem",
    "ec256.sec1.enc-aes128.pem",
  ])("may be encrypted by openssl: %s", async (name) => {
    expect(await labels(`${PEERS}${name}:secret`)).toEqual([PEERS + name]);
    await expectCode(readKeys([`${PEERS}${name}:Secret`]), "PASSWORD_WRONG");
  });

  it("opens without the unneeded password", async () => {
    expect(await labels(`${files}/plain.pem:pass=any`)).toEqual([`${files}/plain.pem`]);
  });

  it.each<[string, () => string, ErrorCode]>([
    ["is not there", () => `${files}/none.pem`, "KEY_UNREADABLE"],
    ["is not there, with a password", () => `${files}/none.pem:s3cret`, "KEY_UNREADABLE"],
    ["is below a file", () => `${files}/plain.pem/key`, "KEY_UNREADABLE"],
    ["is nothing", () => "", "KEY_UNREADABLE"],
    ["is nothing, with a password", () => ":s3cret", "KEY_UNREADABLE"],
    ["is a folder without keys", () => `${files}/folder`, "NO_KEYS"],
    ["is a folder, with a password", () => `${files}/folder:s3cret`, "KEY_UNREADABLE"],
    ["is public", () => `${files}/public.pem`, "KEY_IS_PUBLIC"],
    ["is public, with a password", () => `${files}/public.pem:s3cret`, "KEY_IS_PUBLIC"],
    ["is a public JWK", () => `${VECTORS}ec-p256.pub.jwk`, "KEY_IS_PUBLIC"],
    ["is no key", () => fileURLToPath(import.meta.url), "KEY_UNRECOGNIZED"],
  ])("that %s", async (_, text, code) => {
    const { message } = await expectCode(readKeys([text()]), code);
    expect(message).not.toContain("s3cret");
    expect(message).toContain(text().replace(":s3cret", ""));
  });

  it.each(["jwe", "pkcs7", "pgp", "pkcs11"])("is rejected with the scheme %s:", async (scheme) => {
    const error = await usageError(readKeys([`${scheme}:${files}/plain.pem:pass=s3cret`]));
    expect(error.message).toBe(`a key is written without ${scheme}:`);
    expect(error.hint).toContain("-k private.pem");
  });

  it("is named if one of several is wrong", async () => {
    const texts = [`${files}/plain.pem`, `${strange}:pass=s3cret`, `${files}/none.pem`];
    const { message } = await expectCode(readKeys(texts.slice(0, 2)), "PASSWORD_WRONG");
    expect(message).toContain(strange);
    expect(message).not.toContain("s3cret");
  });

  it("returns all its keys", async () => {
    expect(await labels(`${files}/plain.pem`, `${VECTORS}rsa-2048.jwk`)).toEqual([
      `${files}/plain.pem`,
      `${VECTORS}rsa-2048.jwk`,
    ]);
  });
});

describe("a recipient", () => {
  const options = { strict: false, keyRings: [], onWarning: () => undefined };

  it.each(["rsa-2048.pub.pem", "rsa-2048.pub.jwk", "ec-p521.pub.pem"])(
    "is a public key: %s",
    async (name) => {
      const recipients = await readRecipients(`jwe:${VECTORS}${name}`, options);
      expect(recipients.map(({ scheme }) => scheme)).toEqual(["jwe"]);
    },
  );

  it("may be several in a JWK Set", async () => {
    const read = (name: string): unknown => JSON.parse(readFileSync(VECTORS + name, "utf8"));
    const file = join(files, "a:set.jwk");
    writeFileSync(
      file,
      JSON.stringify({ keys: [read("ec-p256.pub.jwk"), read("rsa-3072.pub.jwk")] }),
    );
    expect(await readRecipients(`jwe:${file}`, options)).toHaveLength(2);
  });

  it.each<[string, () => string, ErrorCode]>([
    ["is private", () => `jwe:${VECTORS}ec-p256.pem`, "KEY_IS_PRIVATE"],
    ["is a private JWK", () => `jwe:${VECTORS}ec-p256.jwk`, "KEY_IS_PRIVATE"],
    ["is locked", () => `jwe:${strange}`, "KEY_IS_PRIVATE"],
    ["is not there", () => "jwe:/nonexistent", "KEY_UNREADABLE"],
    ["is for signing", () => `jwe:${PEERS}rsa2048.pub.RSA1_5.jwk`, "KEY_UNSUPPORTED"],
  ])("cannot have a key that %s", async (_, text, code) => {
    const { message } = await expectCode(readRecipients(text(), options), code);
    expect(message).toContain(text().slice("jwe:".length));
  });

  it.each([
    ["jwe:", "is not a recipient"],
    ["", "is not a recipient"],
    ["jwk:x", "jwk:… is not a recipient"],
    ["JWE:x", "JWE:… is not a recipient"],
    ["k.pem:pass=s3cret", "k.pem:… is not a recipient"],
    ["provider:", "is not a recipient"],
    ["/nonexistent", "is not a recipient"],
    ["__proto__:x", "is not a recipient"],
  ])("is not written as %j", async (text, said) => {
    const error: unknown = await readRecipients(text, options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toContain(said);
    expect((error as UsageError).hint).toContain("jwe:FILE");
  });

  it("gets a scheme suggested if it is only a file name", async () => {
    const file = join(files, "public.pem");
    const error = await usageError(readRecipients(file, options));
    expect(error.hint).toBe(`write jwe:${file}`);
  });
});

describe("a provider's parameters", () => {
  const options = { strict: false, keyRings: [], onWarning: () => undefined };
  const SECRET = "token=hvs.s3cret";

  it.each(["vault", ""])("appear in no message: %j", async (name) => {
    vi.stubEnv("OCICRYPT_KEYPROVIDER_CONFIG", "/nonexistent/config.json");
    const text = `provider:${name}:${SECRET}`;
    for (const attempt of [readRecipients(text, options), readKeys([text])]) {
      const { message } = await failed(attempt);
      expect(message).not.toContain("s3cret");
      if (name !== "") expect(message).toMatch(/provider/);
    }
  });
});

it.each([
  ["docker://r.example/app", "docker://r.example/app:latest"],
  ["docker://r.example:5000/team/app", "docker://r.example:5000/team/app:latest"],
  ["docker://app", "docker://app:latest"],
  ["docker://r.example/app:1", "docker://r.example/app:1"],
  ["docker://app:1", "docker://app:1"],
  [`docker://r.example/app@sha256:${"0".repeat(64)}`, `docker://r.example/app@sha256:${"0".repeat(64)}`], // prettier-ignore
  ["oci:app", "oci:app"],
  ["oci-archive:app.tar", "oci-archive:app.tar"],
])("the image %s is %s in a result", (text, expected) => {
  expect(shownImage(text)).toBe(expected);
});

describe("a file", () => {
  const options = { strict: false, keyRings: [], onWarning: () => undefined };
  const images = { plainHttp: false, quiet: true, caFile: undefined };

  const WANTED: [string, (file: string) => Promise<unknown>][] = [
    ["the key of -k", (file) => readKeys([file])],
    ["the recipient of -r", (file) => readRecipients(`jwe:${file}`, options)],
    ["the recipient of -r", (file) => readRecipients(`pkcs7:${file}`, options)],
    ["the recipient of -r", (file) => readRecipients(`pkcs11:${file}`, options)],
    [
      "the key ring of --pgp-key-ring",
      (file) => readRecipients("pgp:alice", { ...options, keyRings: [file] }),
    ],
    [
      "the certificates of --ca-file",
      (file) => openSource("docker://localhost:1/app", { ...images, caFile: file }),
    ],
  ];

  it.each(WANTED)("is reported missing in the same words for %s", async (purpose, read) => {
    const missing = await expectCode(read("/nonexistent/a.pem"), "KEY_UNREADABLE");
    expect(missing.message).toBe(`there is no file /nonexistent/a.pem for ${purpose}`);
    // A directory of keys is a key of -k.
    if (purpose !== "the key of -k") {
      const folder = await expectCode(read(`${files}/folder`), "KEY_UNREADABLE");
      expect(folder.message).toBe(`${files}/folder for ${purpose} is a directory, not a file`);
    }
    const long = await expectCode(read("A".repeat(5000)), "KEY_UNREADABLE");
    expect(long.message).toBe(`the file name for ${purpose} is too long`);
  });

  it("is reported missing without a password, which recipients do not have", async () => {
    const read = readRecipients("jwe:none.pem:pass=s3cret", options);
    const { message } = await expectCode(read, "KEY_UNREADABLE");
    expect(message).toBe("there is no file none.pem:pass=… for the recipient of -r");
  });

  it("of a password is reported missing with the name of the key", async () => {
    const { message } = await expectCode(readKeys([`${strange}:file=none.txt`]), "KEY_UNREADABLE");
    expect(message).toBe(`there is no file none.txt for the password of ${strange}`);
  });

  it("must have a name", async () => {
    const { message } = await expectCode(readKeys([""]), "KEY_UNREADABLE");
    expect(message).toBe("the file name for the key of -k is empty");
  });

  const jwk = JSON.stringify(privateKey.export({ format: "jwk" }), undefined, 1);
  const CONTENTS = [
    privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    locked("pw"),
    readFileSync(`${VECTORS}rsa-2048.pem`, "utf8"),
    readFileSync(`${VECTORS}rsa-2048.jwk`, "utf8"),
    jwk,
    jwk.replace(/\s/g, ""),
  ];

  // Messages end up in logs.
  it.each(CONTENTS)(
    "is named and not passed as content, which is not shown: key %#",
    async (content) => {
      const attempts = [
        readKeys([content]),
        readKeys([`${content}:pass=pw`]),
        readRecipients(content, options),
        ...["jwe", "pkcs7", "pkcs11", "pgp"].map((scheme) =>
          readRecipients(`${scheme}:${content}`, options),
        ),
      ];
      for (const attempt of attempts) {
        const { message } = await failed(attempt);
        expect(message).toMatch(/not its content/);
        expect(message.length).toBeLessThan(100);
      }
    },
  );

  const der = privateKey.export({ type: "pkcs8", format: "der" });

  it.each(["base64", "base64url", "hex"] as const)("is not a key in %s", async (encoding) => {
    const key = der.toString(encoding);
    const attempts = [
      () => readKeys([key]),
      () => readKeys([`${key}:pass=pw`]),
      () => readKeys([`${strange}:file=${key}`]),
      () => readKeys([`provider:${key}`]),
      () => readRecipients(key, options),
      ...["jwe", "pkcs7", "pkcs11", "pgp", "provider"].map(
        (scheme) => () => readRecipients(`${scheme}:${key}`, options),
      ),
      () => readRecipients("pgp:alice", { ...options, keyRings: [key] }),
      () => openSource("docker://localhost:1/app", { ...images, caFile: key }),
    ];
    for (const attempt of attempts) {
      const { message } = await failed(attempt());
      expect(message).not.toContain(key.slice(0, 12));
      expect(message).toMatch(/not its content|is too long|needs the name of a key provider/);
    }
  });

  it("may be named like a digest", async () => {
    const file = join(files, "0123456789abcdef".repeat(4));
    writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }));
    expect(await labels(file)).toEqual([file]);
    writeFileSync(file, publicKey.export({ type: "spki", format: "pem" }));
    expect(await readRecipients(`jwe:${file}`, options)).toHaveLength(1);
  });

  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();

  it.each([pem, der.toString("base64"), der.toString("hex")])(
    "is not an image, and is not shown as one: key %#",
    async (content) => {
      const secret = content.split("\n").at(-3) ?? content;
      for (const prefix of ["", "oci:", "oci-archive:", "docker://"]) {
        const { message } = await failed(
          openSource(prefix + content, images).then((source) => source.resolve({})),
        );
        expect(message).not.toContain(secret.slice(0, 12));
      }
      for (const text of [content, `docker://${content}`]) {
        const { signal } = new AbortController();
        await expectCode(openDestination(text, "oci:a", images, signal), "REFERENCE_INVALID");
        const { message } = await failed(openDestination(text, "oci:a", images, signal));
        expect(message).not.toContain(secret.slice(0, 12));
      }
    },
  );

  it("of certificates must contain one", async () => {
    const file = `${files}/public.pem`;
    const source = openSource("docker://localhost:1/app", { ...images, caFile: file });
    const error = await usageError(source);
    expect(error.message).toBe(`${file} of --ca-file contains no valid PEM certificate`);
    expect(error.hint).toContain("openssl x509");
  });
});
