import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readRecipientIds } from "../../src/cli/recipients.js";
import { UsageError } from "../../src/cli/errors.js";
import type { Key } from "../../src/keywrap/types.js";
import type { RecipientSelector } from "../../src/layer/recipients.js";
import { expectCode } from "../support/codes.js";
import { foreignKey } from "../support/layers.js";

const KEYS = fileURLToPath(new URL("../../vectors/peers/keys/", import.meta.url));
const FINGERPRINT = "1A56 A348 BF81 60BD 0465  82D8 2191 DBCA 0F29 ACA9";

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

  it("does not take what is in a key's file", async () => {
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

  it.each(["jwe", "pgp", "pkcs11"])(
    "rejects a key file of %s, which does not identify a recipient",
    async (scheme) => {
      const text = `${scheme}:${join(KEYS, "rsa2048.pub.pem")}`;
      const refused = readRecipientIds([text], []);
      await expect(refused).rejects.toBeInstanceOf(UsageError);
      await expect(refused).rejects.toMatchObject({
        message: expect.stringContaining(`${text} is a key file`) as unknown,
        hint: expect.stringContaining("recipients list") as unknown,
      });
      expect(await readRecipientIds([`kid:${text}`], [])).toEqual([{ keyIds: [text] }]);
    },
  );
});

it("makes one selector of the keys of one file", async () => {
  const key = (scheme: string, label: string): Key => ({ ...foreignKey(scheme), label });
  const [a, b, c] = [key("jwe", "a.pem"), key("pkcs7", "a.pem"), key("jwe", "b.pem")];
  const selectors = await readRecipientIds(["alice"], [a, c, b]);
  expect(selectors).toEqual([{ keyIds: ["alice"] }, { keys: [a, b] }, { keys: [c] }]);
});
