import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { readPrivateKeys } from "../../src/keys/private-key.js";
import { readPublicKeys } from "../../src/keys/public-key.js";
import { recognizeKeyFile } from "../../src/keywrap/key-files/index.js";
import { expectCode } from "../support/codes.js";
import { vectorFile } from "../support/vectors.js";
import { nodeKey } from "../support/keys.js";

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`fixtures/encrypted-jwk/${name}`, import.meta.url));
const flattened = JSON.parse(fixture("flattened.json").toString()) as Record<string, string>;
const header = JSON.parse(Buffer.from(flattened.protected!, "base64url").toString()) as object;
const withHeader = (members: object): Record<string, unknown> => ({
  ...flattened,
  protected: Buffer.from(JSON.stringify({ ...header, ...members })).toString("base64url"),
});

describe.each(["flattened.json", "compact.txt"])("the encrypted JWK %s", (name) => {
  it("opens only with its password", async () => {
    expect(recognizeKeyFile(fixture(name))).toBe("private key");
    const expected = createPrivateKey(vectorFile("keys/ec-p256.pem"));
    for (const input of [fixture(name), fixture(name).toString()]) {
      const [read] = await readPrivateKeys(input, { password: "secret" });
      expect(nodeKey(read!.key).equals(expected)).toBe(true);
    }
    await expectCode(readPrivateKeys(fixture(name)), "PASSWORD_MISSING");
    await expectCode(readPrivateKeys(fixture(name), { password: "wrong" }), "PASSWORD_WRONG");
    await expectCode(() => readPublicKeys(fixture(name)), "KEY_IS_PRIVATE");
  });

  it("is opened by jwe.key when it is first needed", async () => {
    const wrapped = await jwe.recipient(vectorFile("keys/ec-p256.pub.pem")).wrap(Buffer.from("x"));
    const key = jwe.key(fixture(name), { password: "secret" });
    expect(Buffer.from((await key.unwrap(wrapped)) ?? []).toString()).toBe("x");
    expect(key.thumbprint).toBe(jwe.key(vectorFile("keys/ec-p256.pem")).thumbprint);
    const wrong = jwe.key(fixture(name), { password: "wrong" });
    await expectCode(wrong.unwrap(wrapped), "PASSWORD_WRONG");
    await expectCode(wrong.unwrap(wrapped), "PASSWORD_WRONG");
  });
});

it.each<[string, Record<string, unknown>, RegExp]>([
  ["a JWE for a key", withHeader({ alg: "RSA-OAEP" }), /"RSA-OAEP"/],
  ["more iterations than allowed", withHeader({ p2c: 2_000_001 }), /2000000 iterations/],
])("rejects %s", async (_, input, reason) => {
  const error = await expectCode(readPrivateKeys(input, { password: "secret" }), "KEY_UNSUPPORTED");
  expect(error.message).toMatch(reason);
});
