import { describe, expect, it } from "vitest";
import { OcicryptError, type ErrorCode } from "../../src/errors.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { pgp } from "../../src/keywrap/pgp/index.js";
import { pkcs7 } from "../../src/keywrap/pkcs7/index.js";
import type { Key } from "../../src/keywrap/types.js";
import { planRemoval, requireFound, requireLeft } from "../../src/layer/recipient-removal.js";
import { type RecipientSelector, removeRecipients } from "../../src/layer/recipients.js";
import { unwrapOnly } from "../../src/layer/unwrap.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import { base64, craftLayer, ENC, foreignKey, openKey, TAR } from "../support/layers.js";
import { encryptedDescriptor, jweVector, vectorFile } from "../support/vectors.js";

type Lists = Record<string, string>;

const DESCRIPTOR = {
  mediaType: `${TAR}+encrypted`,
  digest: `sha256:${"0".repeat(64)}`,
  size: 1,
  data: "kept",
};
const PUBLIC = craftLayer(Buffer.from("x")).descriptor.annotations[`${ENC}pubopts`]!;

/** A descriptor with these lists, and an unrelated annotation before and after them. */
function withLists(lists: Lists): typeof DESCRIPTOR & { annotations: Lists } {
  const entries = Object.entries(lists).map(([scheme, list]) => [`${ENC}keys.${scheme}`, list]);
  const wrapped = Object.fromEntries(entries) as Lists;
  const annotations = { a: "b", ...wrapped, [`${ENC}pubopts`]: PUBLIC, z: "y" };
  return deepFreeze({ ...DESCRIPTOR, annotations });
}

const key = (name: string): Key => jwe.key(vectorFile(`keys/${name}.pem`), { label: name });
const jweOf = (name: string): string => jweVector(name).annotations[`${ENC}keys.jwe`]!;

/** One recipient each: of rsa-2048 as a JWK with that kid, and of PEM files of two EC keys. */
const JWES = [jweOf("jwk-rsa-oaep-256"), jweOf("pem-ec-p256"), jweOf("pem-ec-p384")];

/** A key that opens only the wrapped key with this content. */
function keyOf(content: string, more: Partial<Key> = {}): Key {
  return {
    scheme: "test",
    unwrap: (bytes) =>
      Promise.resolve(Buffer.from(bytes).toString() === content ? Uint8Array.of(1) : null),
    ...more,
  };
}

function failing(error: Error): Key {
  return { scheme: "test", label: "k", unwrap: () => Promise.reject(error) };
}

const AB = { test: `${base64("a")},${base64("b")}` };

describe("removeRecipients", () => {
  it.each<[string, Lists, RecipientSelector, Lists]>([
    ["by a kid", { jwe: JWES.join() }, { keyIds: ["rsa-2048"] }, { jwe: JWES.slice(1).join() }],
    [
      "by one of the forms of an id",
      { jwe: JWES.join() },
      { keyIds: ["x", "rsa-2048"], scheme: "jwe" },
      { jwe: JWES.slice(1).join() },
    ],
    [
      "by a key",
      { jwe: JWES.join() },
      { keys: [key("ec-p256")] },
      { jwe: [JWES[0], JWES[2]].join() },
    ],
    [
      "by a key all that it opens",
      { jwe: [JWES[1], JWES[0], JWES[1]].join() },
      { keys: [key("ec-p256")] },
      { jwe: JWES[0]! },
    ],
    [
      "by its place",
      { jwe: JWES.join() },
      { scheme: "jwe", index: 2 },
      { jwe: JWES.slice(0, 2).join() },
    ],
    [
      "an unreadable wrapped key by its position",
      { jwe: `!,,${JWES[0]!}` },
      { scheme: "jwe", index: 1 },
      { jwe: `!,${JWES[0]!}` },
    ],
    [
      "a whole scheme",
      { jwe: JWES[0]!, "provider.kms": "YQ==,!", other: "!" },
      { scheme: "provider.kms" },
      { jwe: JWES[0]!, other: "!" },
    ],
    [
      "a whole scheme that cannot be read",
      { jwe: JWES[0]!, other: "YQ==,".repeat(2000) },
      { scheme: "other" },
      { jwe: JWES[0]! },
    ],
    [
      "a whole scheme with several recipients in one wrapped key",
      { jwe: jweOf("recipients-2-jwk"), other: "YQ==" },
      { scheme: "jwe" },
      { other: "YQ==" },
    ],
    [
      "the last one of a scheme",
      { jwe: JWES[0]!, other: "YQ==" },
      { keyIds: ["rsa-2048"] },
      { other: "YQ==" },
    ],
    [
      "and leaves base64 of another form as it is",
      { test: "YQ==,YWI,YWJj" },
      { keys: [keyOf("a")] },
      { test: "YWI,YWJj" },
    ],
  ])("removes %s", async (_, before, selector, after) => {
    const result = await removeRecipients(withLists(before), { recipients: [selector] });
    expect(JSON.stringify(result)).toBe(JSON.stringify(withLists(after)));
  });

  it.each([
    ["a certificate", "pkcs7-1rec", "pkcs7"],
    ["a certificate without its key at hand", "pkcs7-smallstep-shape", "pkcs7"],
  ])("removes by %s", async (_, layer, scheme) => {
    const lists = { [scheme]: peerList(layer, scheme), jwe: JWES[0]! };
    const keyIds = await pkcs7.keyIds(vectorFile("peers/layers/keys/cert-rsa2048.pem"));
    const other = await pkcs7.keyIds(vectorFile("peers/layers/keys/cert-rsa3072.pem"));
    const descriptor = withLists(lists);
    await expectCode(
      removeRecipients(descriptor, { recipients: [{ scheme, keyIds: other }] }),
      "RECIPIENT_NOT_FOUND",
    );
    const result = await removeRecipients(descriptor, { recipients: [{ scheme, keyIds }] });
    expect(result).toEqual(withLists({ jwe: JWES[0]! }));
  });

  it("removes by an OpenPGP key", async () => {
    const recipient = pgp.recipient("rsa2048@example.org", {
      keyRing: vectorFile("peers/keys/pgp/rsa2048.pub.gpg"),
    });
    const wrapped = base64(await recipient.wrap(Buffer.from("secret")));
    const descriptor = withLists({ pgp: wrapped, jwe: JWES[0]! });
    const keys = [pgp.key(vectorFile("peers/keys/pgp/rsa2048.sec.gpg"), { password: "secret" })];
    const result = await removeRecipients(descriptor, { recipients: [{ keys }] });
    expect(result).toEqual(withLists({ jwe: JWES[0]! }));
  });

  function peerList(layer: string, scheme: string): string {
    const text = vectorFile(`peers/layers/${layer}.json`).toString();
    return (JSON.parse(text) as Lists)[`${ENC}keys.${scheme}`]!;
  }

  it("lets the other recipients open the layer, but not the removed ones", async () => {
    const vector = jweVector("added");
    const descriptor = deepFreeze(encryptedDescriptor(vector));
    const [gone, ...stay] = vector.opensWith
      .filter((file) => file.endsWith(".pem"))
      .map((file) => jwe.key(vectorFile(file)));
    const result = await removeRecipients(descriptor, { recipients: [{ keys: [gone!] }] });
    expect(stay.length).toBeGreaterThan(0);
    for (const key of stay) await unwrapOnly(result, { keys: [key] });
    await expectCode(unwrapOnly(result, { keys: [gone!] }), "NO_MATCHING_KEY");
  });

  const wrongPassword = new OcicryptError("PASSWORD_WRONG", "wrong");
  const damaged = new OcicryptError("WRAPPED_KEY_INVALID", "damaged");

  it.each<[string, Lists, RecipientSelector[], ErrorCode]>([
    ["nobody", AB, [], "NO_RECIPIENTS"],
    ["an unknown kid", { jwe: JWES.join() }, [{ keyIds: ["rsa-204"] }], "RECIPIENT_NOT_FOUND"],
    [
      "a kid of another scheme",
      { jwe: JWES.join() },
      [{ scheme: "pgp", keyIds: ["rsa-2048"] }],
      "RECIPIENT_NOT_FOUND",
    ],
    ["a place that is not there", AB, [{ scheme: "test", index: 2 }], "RECIPIENT_NOT_FOUND"],
    ["a scheme that is not there", AB, [{ scheme: "jwe" }], "RECIPIENT_NOT_FOUND"],
    ["a scheme by the name of a member", AB, [{ scheme: "toString" }], "RECIPIENT_NOT_FOUND"],
    ["a foreign key", AB, [{ keys: [foreignKey()] }], "RECIPIENT_NOT_FOUND"],
    ["no key", AB, [{ keys: [] }], "RECIPIENT_NOT_FOUND"],
    ["a key that finds damage", AB, [{ keys: [failing(damaged)] }], "RECIPIENT_NOT_FOUND"],
    ["a key that cannot be tried", AB, [{ keys: [failing(wrongPassword)] }], "PASSWORD_WRONG"],
    ["one of two", AB, [{ scheme: "test", index: 1 }, { keyIds: ["x"] }], "RECIPIENT_NOT_FOUND"],
    ["all", AB, [{ scheme: "test", index: 0 }, { keys: [keyOf("b")] }], "LAST_RECIPIENT"],
    ["all by one key", AB, [{ keys: [openKey()] }], "LAST_RECIPIENT"],
    ["the only scheme", AB, [{ scheme: "test" }], "LAST_RECIPIENT"],
    [
      "the last that can be read",
      { jwe: `${JWES[0]!},!,YQ==`, pgp: "" },
      [{ scheme: "jwe", index: 0 }],
      "LAST_RECIPIENT",
    ],
    [
      "one of several by its kid",
      { jwe: jweOf("recipients-2-jwk"), ...AB },
      [{ keyIds: ["ec-p256"] }],
      "RECIPIENTS_INSEPARABLE",
    ],
    [
      "one of several by its key",
      { jwe: jweOf("recipients-2"), ...AB },
      [{ keys: [key("ec-p256")] }],
      "RECIPIENTS_INSEPARABLE",
    ],
    [
      "several by their place",
      { jwe: jweOf("recipients-2"), ...AB },
      [{ scheme: "jwe", index: 0 }],
      "RECIPIENTS_INSEPARABLE",
    ],
  ])("refuses to remove %s", async (_, lists, recipients, code) => {
    await expectCode(removeRecipients(withLists(lists), { recipients }), code);
  });

  it("rejects a plain layer", async () => {
    const plain = { ...DESCRIPTOR, mediaType: TAR };
    const recipients = [{ scheme: "jwe" }];
    await expectCode(removeRecipients(plain, { recipients }), "NOT_ENCRYPTED");
  });

  it("reports keys that could not be tried, next to the recipients that were found", async () => {
    const moody = keyOf("b", {
      unwrap: (bytes) =>
        bytes[0] === 0x61 ? Promise.reject(damaged) : Promise.resolve(Uint8Array.of(1)),
    });
    const selector = { keys: [moody] };
    const { failed, removed } = await planRemoval(withLists(AB), { recipients: [selector] });
    expect(removed).toEqual([{ scheme: "test", index: 1 }]);
    expect(failed).toEqual([{ selector, key: moody, scheme: "test", index: 0, error: damaged }]);
  });

  it("finds all named recipients before it checks who is left", async () => {
    const recipients = [{ scheme: "test", index: 0 }, { keyIds: ["nobody"] }];
    const only = { test: base64("a") };
    const removals = [
      await planRemoval(withLists(AB), { recipients }),
      await planRemoval(withLists(only), { recipients }),
    ];
    expect(removals.map(({ left }) => left)).toEqual([1, 0]);
    await expectCode(() => {
      requireFound(recipients, removals);
    }, "RECIPIENT_NOT_FOUND");
    const { message } = await expectCode(() => {
      requireLeft(removals);
    }, "LAST_RECIPIENT");
    expect(message).toContain(DESCRIPTOR.digest);
  });

  it("accepts a layer without recipients if nothing is removed", async () => {
    const recipients = [{ scheme: "test", index: 0 }];
    const removal = await planRemoval(withLists({ jwe: "!" }), { recipients });
    expect(removal.left).toBe(0);
    requireLeft([removal]);
  });

  it("checks first who is left in a single layer", async () => {
    const recipients = [{ scheme: "test" }, { keyIds: ["nobody"] }];
    await expectCode(removeRecipients(withLists(AB), { recipients }), "LAST_RECIPIENT");
  });

  it("wipes the bytes that a key unwrapped", async () => {
    const secret = Buffer.from("secret");
    const keys = [
      keyOf("a", { unwrap: (bytes) => Promise.resolve(bytes[0] === 0x61 ? secret : null) }),
    ];
    await removeRecipients(withLists(AB), { recipients: [{ keys }] });
    expect(secret).toEqual(Buffer.alloc(6));
  });

  it("rejects with the reason of an aborted signal", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    const options = { recipients: [{ keys: [openKey()] }], signal };
    await expect(removeRecipients(withLists(AB), options)).rejects.toBe(signal.reason);
  });

  it("removes by position in two schemes at once", async () => {
    const descriptor = withLists({
      test: `${base64("a")},${base64("b")}`,
      "provider.x": `${base64("c")},${base64("d")}`,
    });
    const recipients = [
      { scheme: "test", index: 0 },
      { scheme: "provider.x", index: 1 },
    ];
    const { annotations } = await removeRecipients(descriptor, { recipients });
    expect(annotations).toMatchObject({
      [`${ENC}keys.test`]: base64("b"),
      [`${ENC}keys.provider.x`]: base64("c"),
    });
  });
});
