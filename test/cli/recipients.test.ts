import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readRecipientFiles, readRecipientIds, recipientNames } from "../../src/cli/recipients.js";
import { UsageError } from "../../src/cli/errors.js";
import type { Key } from "../../src/keywrap/types.js";
import type { RecipientSelector } from "../../src/layer/recipients.js";
import { expectCode } from "../support/codes.js";
import { foreignKey } from "../support/layers.js";

const KEYS = fileURLToPath(new URL("../../vectors/peers/keys/", import.meta.url));
const FINGERPRINT = "1A56 A348 BF81 60BD 0465  82D8 2191 DBCA 0F29 ACA9";
/** Of rsa2048.pub.pem and of the key of cert-rsa2048.pem. */
const RSA_THUMBPRINT = "cAa_OVCVmjBG-9LIOY6wlzclq-Crzqo1b5ku2HFnKRk";

describe("--recipient-id", () => {
  it.each<[string, RecipientSelector]>([
    ["alice", { keyIds: ["alice"] }],
    ["CN=x, serial 1f", { keyIds: ["CN=x, serial 1f"] }],
    ["0x2191dbca0f29aca9", { keyIds: ["0x2191dbca0f29aca9", "0x2191dbca0f29aca9"] }],
    ["2191DBCA0F29ACA9", { keyIds: ["2191DBCA0F29ACA9", "0x2191dbca0f29aca9"] }],
    [FINGERPRINT, { keyIds: [FINGERPRINT, "0x2191dbca0f29aca9"] }],
    ["jwe:0", { scheme: "jwe", index: 0 }],
    ["provider.kms:12", { scheme: "provider.kms", index: 12 }],
    ["provider:kms", { scheme: "provider.kms" }],
    ["kid:jwe:0", { keyIds: ["jwe:0"] }],
    ["kid:7", { keyIds: ["7"] }],
    ["kid:provider:kms", { keyIds: ["provider:kms"] }],
    ["jwe:x", { keyIds: ["jwe:x"] }],
    ["pkcs7:there/is/none.pem", { keyIds: ["pkcs7:there/is/none.pem"] }],
    ["https://keys.example/1", { keyIds: ["https://keys.example/1"] }],
  ])("%s", async (text, expected) => {
    expect(await readRecipientIds([text], [])).toEqual([expected]);
  });

  it("selects by a certificate, with every id that it can have in a message", async () => {
    const text = `pkcs7:${join(KEYS, "cert-rsa2048.pem")}`;
    const [selector] = await readRecipientIds([text], []);
    expect(selector).toEqual({
      scheme: "pkcs7",
      keyIds: [
        expect.stringMatching(/serial [0-9a-f]+$/),
        expect.stringMatching(/^key identifier /),
        RSA_THUMBPRINT,
      ],
    });
  });

  it.each(["", "kid:", "provider:", "provider:kms:params", "provider:a b"])(
    "rejects %j",
    async (text) => {
      await expect(readRecipientIds([text], [])).rejects.toBeInstanceOf(UsageError);
    },
  );

  it("does not quote the parameters of a provider", async () => {
    for (const text of [
      "provider:vault:token=hvs.s3cret",
      "provider::s3cret",
      "provider:a s3cret",
    ]) {
      const error = await readRecipientIds([text], []).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(UsageError);
      const { message, hint } = error as UsageError;
      expect(`${message} ${hint ?? ""}`).not.toContain("s3cret");
    }
  });

  it("rejects the content of a key file", async () => {
    const pem = readFileSync(join(KEYS, "rsa2048.pub.pem"), "utf8");
    const refused = readRecipientIds([pem], []);
    await expect(refused).rejects.toBeInstanceOf(UsageError);
    await expect(refused).rejects.toThrow("not the content of a key file");
  });

  it("rejects a file that is not a certificate", async () => {
    const text = `pkcs7:${join(KEYS, "rsa2048.pub.pem")}`;
    const { message } = await expectCode(readRecipientIds([text], []), "KEY_UNSUPPORTED");
    expect(message).toContain(text);
  });

  it.each([
    ["pkcs7", "rsa2048.pub.pem", "this is a public key; pkcs7: needs a certificate"],
    ["pgp", "rsa2048.pub.pem", "this is a public key; pgp: needs an OpenPGP key"],
    ["pgp", "cert-rsa2048.pem", "this is a certificate; pgp: needs an OpenPGP key"],
    ["jwe", "pgp/rsa2048.pub.asc", "this is an OpenPGP key; jwe: needs a public key or a cert"],
  ])("rejects %s:%s, which no recipient of the scheme can name", async (scheme, file, reason) => {
    const text = `${scheme}:${join(KEYS, file)}`;
    for (const read of [readRecipientFiles, recipientNames]) {
      const { message } = await expectCode(read([text]), "KEY_UNSUPPORTED");
      expect(message).toContain(`${text}: ${reason}`);
    }
    const { message } = await expectCode(readRecipientIds([text], []), "KEY_UNSUPPORTED");
    expect(message).toContain(`${text}: ${reason}`);
    expect(await readRecipientIds([`kid:${text}`], [])).toEqual([{ keyIds: [text] }]);
  });

  it("rejects a private key instead of a public key", async () => {
    const text = `jwe:${join(KEYS, "rsa2048.pkcs8.pem")}`;
    await expectCode(readRecipientIds([text], []), "KEY_IS_PRIVATE");
    await expectCode(readRecipientFiles([text]), "KEY_IS_PRIVATE");
  });

  it("selects by a public key file of jwe, as -r does", async () => {
    const file = join(KEYS, "rsa2048.pub.pem");
    const selector = { scheme: "jwe", keyIds: [RSA_THUMBPRINT] };
    expect(await readRecipientIds([`jwe:${file}`], [])).toEqual([selector]);
    expect(await readRecipientFiles([`jwe:${file}`])).toEqual([selector]);
    expect(await recipientNames([`jwe:${file}`])).toEqual(new Map([[RSA_THUMBPRINT, file]]));
    expect(await readRecipientIds([`kid:jwe:${file}`], [])).toEqual([{ keyIds: [`jwe:${file}`] }]);
  });

  it("selects by an OpenPGP key file, as -r does", async () => {
    const text = `pgp:${join(KEYS, "pgp/rsa2048.pub.asc")}`;
    const [selector] = await readRecipientIds([text], []);
    expect(selector).toMatchObject({ scheme: "pgp" });
    const { keyIds } = selector as { keyIds: string[] };
    expect(keyIds.length).toBeGreaterThan(0);
    for (const id of keyIds) expect(id).toMatch(/^0x[0-9a-f]{16}$/);
    expect(await readRecipientFiles([text])).toEqual([selector]);
  });

  it("rejects a key file of pkcs11, which does not identify a recipient", async () => {
    const text = `pkcs11:${join(KEYS, "rsa2048.pub.pem")}`;
    const refused = readRecipientIds([text], []);
    await expect(refused).rejects.toBeInstanceOf(UsageError);
    await expect(refused).rejects.toMatchObject({
      message: expect.stringContaining(`${text} is a key file`) as unknown,
      hint: expect.stringContaining("recipients list") as unknown,
    });
    expect(await readRecipientIds([`kid:${text}`], [])).toEqual([{ keyIds: [text] }]);
  });
});

it("makes one selector of the keys of one file", async () => {
  const key = (scheme: string, label: string): Key => ({ ...foreignKey(scheme), label });
  const [a, b, c] = [key("jwe", "a.pem"), key("pkcs7", "a.pem"), key("jwe", "b.pem")];
  const selectors = await readRecipientIds(["alice"], [a, c, b]);
  expect(selectors).toEqual([{ keyIds: ["alice"] }, { keys: [a, b] }, { keys: [c] }]);
});
