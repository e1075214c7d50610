import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { decryptLayer } from "../../src/layer/decrypt.js";
import { planReplacement } from "../../src/layer/recipient-changes.js";
import { replaceRecipients } from "../../src/layer/recipients.js";
import { unwrapOnly } from "../../src/layer/unwrap.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import { craftLayer, ENC, foreignKey, openKey, plainRecipient } from "../support/layers.js";
import {
  encryptedDescriptor,
  expand,
  jweVector,
  vectorCiphertext,
  vectorFile,
} from "../support/vectors.js";

const key = (name: string): Key => jwe.key(vectorFile(`keys/${name}.pem`));
const recipient = (name: string): Recipient => jwe.recipient(vectorFile(`keys/${name}.pub.pem`));

describe("replaceRecipients", () => {
  const vector = jweVector("recipients-6");
  const descriptor = deepFreeze({
    ...encryptedDescriptor(vector),
    annotations: {
      "com.example.a": "b",
      ...vector.annotations,
      [`${ENC}keys.pgp`]: "!",
      [`${ENC}keys.provider.kms`]: "bm90IG91cnM=,?",
      [`${ENC}keys.unknown`]: "",
    },
    data: "kept",
  });
  const options = { recipients: [recipient("ec-p521")], keys: [key("rsa-2048")] };

  it("adds the new recipients and removes the old ones", async () => {
    const after = await replaceRecipients(descriptor, options);
    const keys = [key("ec-p521")];
    const layer = await decryptLayer(vectorCiphertext(vector), { descriptor: after, keys });
    expect(await collect(layer.stream)).toEqual(expand(vector.plaintext));
    for (const name of ["rsa-2048", "ec-p256", "rsa-4096"]) {
      await expectCode(unwrapOnly(after, { keys: [key(name)] }), "NO_MATCHING_KEY");
    }
  });

  it("keeps everything except recipients of known schemes", async () => {
    const after = await replaceRecipients(descriptor, options);
    const list = after.annotations[`${ENC}keys.jwe`]!;
    expect(list).not.toContain(",");
    const others = Object.entries(descriptor.annotations).filter(
      ([name]) => !name.endsWith("keys.jwe") && !name.endsWith("keys.pgp"),
    );
    const annotations = { ...Object.fromEntries(others), [`${ENC}keys.jwe`]: list };
    expect(after).toEqual({ ...descriptor, annotations });
  });

  it("reports the removed and the kept recipients", async () => {
    const { removed, kept, added, present } = await planReplacement(descriptor, options);
    expect(removed.map(({ scheme }) => scheme)).toEqual([...Array<string>(6).fill("jwe"), "pgp"]);
    expect(kept.map(({ scheme, index }) => `${scheme}:${String(index)}`)).toEqual([
      "provider.kms:0",
      "provider.kms:1",
      "unknown:0",
    ]);
    expect(added).toEqual([
      { scheme: "jwe", index: 0, algorithm: "ECDH-ES+A256KW", keyId: key("ec-p521").thumbprint },
    ]);
    expect(present).toEqual([]);
  });

  it.each([
    ["a new recipient", [plainRecipient("provider.kms")], [key("rsa-2048")]],
    ["a key", [recipient("ec-p256")], [foreignKey("provider.kms"), key("rsa-2048")]],
  ])("treats the provider of %s as known", async (_, recipients, keys) => {
    const { kept, annotations } = await planReplacement(descriptor, { recipients, keys });
    expect(kept).toEqual([{ scheme: "unknown", index: 0, problem: expect.any(String) as string }]);
    expect(annotations).not.toHaveProperty([`${ENC}keys.provider.kms`]);
  });

  const crafted = craftLayer(Buffer.from("x")).descriptor;

  it.each<[string, Parameters<typeof replaceRecipients>, ErrorCode]>([
    ["no recipients", [crafted, { recipients: [], keys: [openKey()] }], "NO_RECIPIENTS"],
    ["no keys", [crafted, { recipients: [plainRecipient()], keys: [] }], "NO_KEYS"],
    [
      "a foreign key",
      [crafted, { recipients: [plainRecipient()], keys: [foreignKey()] }],
      "NO_MATCHING_KEY",
    ],
    [
      "a recipient that fails",
      [
        crafted,
        {
          recipients: [{ scheme: "test", wrap: () => Promise.reject(new Error("no")) }],
          keys: [openKey()],
        },
      ],
      "WRAP_FAILED",
    ],
  ])("rejects %s", async (_, [descriptor, options], code) => {
    await expectCode(replaceRecipients(deepFreeze(descriptor), options), code);
  });
});
