import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isKeyFile, parseKeyFile } from "../../../src/keywrap/pkcs11/key-file.js";
import { findModule } from "../../../src/keywrap/pkcs11/config.js";
import { pkcs11 } from "../../../src/keywrap/pkcs11/index.js";
import { readPin } from "../../../src/keywrap/pkcs11/session.js";
import { expectCode } from "../../support/codes.js";
import { vectorFile } from "../../support/vectors.js";
import { wholeText } from "./whole-text.js";

const GOOD = "pkcs11:\n uri: pkcs11:slot-id=2053753261?module-name=softhsm2&pin-value=1234\n";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ocicrypt-"));
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

describe("parseKeyFile", () => {
  it("reads the good file of Go's TestParsePkcs11KeyFileGood and finds its module", async () => {
    await writeFile(join(directory, "libsofthsm2.so"), "");
    const { uri, env } = await parseKeyFile(GOOD);
    expect(uri).toEqual({
      token: new Map(),
      slotId: 2053753261,
      moduleName: "softhsm2",
      pinValue: "1234",
    });
    expect(env).toEqual(new Map());
    const config = { moduleDirectories: [directory], allowedModulePaths: [`${directory}/`] };
    expect(await findModule(uri, config)).toBe(join(directory, "libsofthsm2.so"));
  });

  it("reads every value of the environment as literal text, as Go does", async () => {
    const { env } = await parseKeyFile(
      `${GOOD}module:\n  env:\n    SOFTHSM2_CONF: /a b\n    N: 0x10\n    B: true\n    E:\n`,
    );
    expect(env).toEqual(
      new Map([
        ["SOFTHSM2_CONF", "/a b"],
        ["N", "0x10"],
        ["B", "true"],
        ["E", ""],
      ]),
    );
  });

  it.each([
    { what: "bytes", file: Buffer.from(GOOD) },
    { what: "a byte order mark", file: `\uFEFF${GOOD}` },
    { what: "CRLF line ends", file: GOOD.replaceAll("\n", "\r\n") },
    { what: "a member that is not known", file: `${GOOD}other: [1, 2]\n` },
    { what: "a module without an environment", file: `${GOOD}module:\n` },
    { what: "an empty environment", file: `${GOOD}module:\n  env:\n` },
  ])("takes $what", async ({ file }) => {
    expect(isKeyFile(file)).toBe(true);
    expect((await parseKeyFile(file)).uri.slotId).toBe(2053753261);
  });

  // The first two are those of Go's TestParsePkcs11KeyFileBad; 4711 is the PIN.
  it.each([
    { why: "a URI of another scheme", file: "pkcs11:\n uri: foobar\n" },
    { why: "no URI", file: "pkcs11:\n" },
    { why: "an invalid URI", file: "pkcs11:\n uri: [pkcs11:pin-value=4711]\n" },
    { why: "the URI at the top", file: "uri: pkcs11:token=t?pin-value=4711\n" },
    { why: "a list", file: "- pkcs11: 4711\n" },
    { why: "no YAML", file: 'pkcs11: "4711\n' },
    { why: "no YAML, seen by the parser at the PIN", file: `${GOOD}4711: {\n4711` },
    { why: "two documents", file: `${GOOD}---\npkcs11: 4711\n` },
    { why: "a name twice", file: `${GOOD}pkcs11: 4711\n` },
    { why: "a module that is a string", file: `${GOOD}module: 4711\n` },
    { why: "an environment that is a list", file: `${GOOD}module:\n  env: [4711]\n` },
    { why: "a nested value", file: `${GOOD}module:\n  env:\n    A: [4711]\n` },
    { why: "a name with =", file: `${GOOD}module:\n  env:\n    A=4711: x\n` },
    { why: "a NUL byte", file: `${GOOD}module:\n  env:\n    A: "4711\\0"\n` },
    { why: "its size", file: `${GOOD}# ${"4711".repeat(20000)}\n` },
  ])("rejects a file for $why", async ({ file }) => {
    const error = await expectCode(() => parseKeyFile(file), "KEY_UNRECOGNIZED");
    expect(wholeText(error).replace(/at .*$/gm, "")).not.toContain("4711");
  });

  it("limits the expansion of aliases", async () => {
    const lines = Array.from({ length: 30 }, (_, i) => {
      const parts = Array.from({ length: 9 }, () => `*a${String(i)}`);
      return `a${String(i + 1)}: &a${String(i + 1)} [${parts.join(",")}]`;
    });
    await expectCode(
      () => parseKeyFile(`a0: &a0 x\n${lines.join("\n")}\n${GOOD}`),
      "KEY_UNRECOGNIZED",
    );
  });
});

describe("key and recipient", () => {
  it.each([
    { why: "no token", uri: "pkcs11:object=k?module-name=m" },
    { why: "no object and no id", uri: "pkcs11:token=t?module-name=m" },
    { why: "an empty object", uri: "pkcs11:token=t;object=;id=?module-name=m" },
    { why: "no module", uri: "pkcs11:token=t;object=k" },
  ])("reject a URI with $why immediately", async ({ uri }) => {
    const file = `pkcs11:\n uri: ${uri}\n`;
    await expectCode(() => pkcs11.key(file), "KEY_UNRECOGNIZED");
    await expectCode(() => pkcs11.recipient(file), "KEY_UNRECOGNIZED");
  });

  it("distinguish a key file from keys that have pkcs11 in their name", () => {
    expect(isKeyFile(`# pkcs11\n${vectorFile("keys/rsa-2048.pem").toString()}`)).toBe(false);
    expect(isKeyFile('{"kty":"RSA","kid":"pkcs11"}')).toBe(false);
    expect(isKeyFile({ kty: "RSA", kid: "pkcs11" })).toBe(false);
    expect(isKeyFile(vectorFile("peers/keys/rsa2048.pub.der"))).toBe(false);
  });
});

describe("readPin", () => {
  const token = new Map();

  it.each([
    { text: "1234", pin: "1234" },
    { text: "1234\n", pin: "1234" },
    { text: "1234\r\n", pin: "1234" },
    { text: " 12 34 \n\n", pin: " 12 34 \n" },
    { text: "pïn", pin: "pïn" },
    { text: "\n", pin: undefined },
  ])("reads $text", async ({ text, pin }) => {
    const path = join(directory, "pin");
    await writeFile(path, text);
    expect(await readPin({ token, pinSource: path })).toBe(pin);
  });

  it.each([
    { why: "bytes that are no text", bytes: Buffer.from([0x34, 0x37, 0x31, 0x31, 0xff]) },
    { why: "too many of them", bytes: Buffer.from("4711".repeat(1025)) },
  ])("rejects $why", async ({ bytes }) => {
    const path = join(directory, "bad-pin");
    await writeFile(path, bytes);
    const error = await expectCode(() => readPin({ token, pinSource: path }), "PIN_MISSING");
    expect(error.message).not.toContain("4711");
  });

  it("does not name a missing file, because its name may be the PIN", async () => {
    const error = await expectCode(() => readPin({ token, pinSource: "/4711" }), "PIN_MISSING");
    expect(error.message).toContain("ENOENT");
    expect(wholeText(error).replace(/at .*$/gm, "")).not.toContain("4711");
  });

  it("returns none if there is none", async () => {
    expect(await readPin({ token })).toBeUndefined();
    expect(await readPin({ token, pinValue: "" })).toBeUndefined();
    expect(await readPin({ token, pinValue: "0" })).toBe("0");
  });
});
