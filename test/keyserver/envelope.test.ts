import { createDecipheriv, randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { newAttempts } from "../../src/keywrap/unwrapping.js";
import { envelopeKey, envelopeRecipient } from "../../src/keyserver/envelope.js";
import { expectCode } from "../support/codes.js";

const SECRET = randomBytes(300);
let last: Uint8Array | undefined;

/** A key server that hides nothing. */
const recipient = envelopeRecipient({
  system: "plain",
  thumbprint: "plain/x",
  wrapDataKey(dataKey) {
    last = dataKey;
    return Promise.resolve({ key: Buffer.from(dataKey).toString("hex") });
  },
});
const key = envelopeKey({
  system: "plain",
  label: "plain",
  mismatch: ({ other }) => (other === undefined ? undefined : "it is for another"),
  unwrapDataKey(envelope) {
    last = Buffer.from(String(envelope.key), "hex");
    return Promise.resolve(last);
  },
});
const wrap = (): Promise<Uint8Array> => recipient.wrap(Uint8Array.from(SECRET));

it("the sealed part is AES-256-GCM under the data key", async () => {
  const wrapped = await wrap();
  const members = JSON.parse(Buffer.from(wrapped).toString()) as Record<string, string>;
  expect(Object.keys(members)).toEqual(["system", "key", "sealed"]);
  const sealed = Buffer.from(members.sealed!, "base64");
  const dataKey = Buffer.from(members.key!, "hex");
  const decipher = createDecipheriv("aes-256-gcm", dataKey, sealed.subarray(0, 12));
  decipher.setAAD(Buffer.from("provider.plain")).setAuthTag(sealed.subarray(-16));
  expect(Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])).toEqual(
    SECRET,
  );
  expect(recipient).toMatchObject({ scheme: "provider.plain", thumbprint: "plain/x" });
});

it("each wrapped key has a data key and a nonce of its own", async () => {
  const all = await Promise.all([wrap(), wrap(), wrap()]);
  const values = all.flatMap((each) => {
    const members = JSON.parse(Buffer.from(each).toString()) as Record<string, string>;
    return [members.key, members.sealed!.slice(0, 16)];
  });
  expect(new Set(values).size).toBe(6);
});

it("data keys are overwritten after use", async () => {
  const wrapped = await wrap();
  expect(last).toEqual(Buffer.alloc(32));
  expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
  expect(last).toEqual(Buffer.alloc(32));
});

it("each changed byte of the sealed part is noticed", async () => {
  const members = JSON.parse(Buffer.from(await wrap()).toString()) as Record<string, string>;
  const sealed = Buffer.from(members.sealed!, "base64");
  for (let at = 0; at < sealed.byteLength; at += 7) {
    const bad = Buffer.from(sealed);
    bad[at]! ^= 1;
    const wrapped = Buffer.from(JSON.stringify({ ...members, sealed: bad.toString("base64") }));
    await expectCode(key.unwrap(wrapped), "WRAPPED_KEY_INVALID");
  }
});

it("a key that has no attempt left sends nothing", async () => {
  const wrapped = await wrap();
  last = undefined;
  const attempts = { ...newAttempts(), left: 0 };
  await expectCode(key.unwrap(wrapped, { attempts }), "ANNOTATION_TOO_LARGE");
  expect(last).toBeUndefined();
});

it("skips a wrapped key of another system or key", async () => {
  for (const [text, why] of [
    ["an age file", "it is from another key provider of this name"],
    ['{"system":"other"}', "it is from another key provider of this name"],
    ['{"system":"plain","other":1}', "it is for another"],
  ] as const) {
    expect(await key.unwrap(Buffer.from(text))).toBeNull();
    expect(key.explain!(Buffer.from(text))).toBe(why);
  }
  await expectCode(
    key.unwrap(Buffer.from('{"system":"plain","system":"x"}')),
    "WRAPPED_KEY_INVALID",
  );
});
