import { createDecipheriv } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  attestationAgent,
  parseParameters,
} from "../../../src/keywrap/provider/attestation-agent.js";
import { provider } from "../../../src/keywrap/provider/index.js";
import { expectCode } from "../../support/codes.js";

/** The public sample key of guest-components: attestation-agent/coco_keyprovider/src/enc_mods/crypto.rs */
const SAMPLE_KEK = Buffer.from(
  "d99b7705b0ba7a168295b3a3367270b0dd9b371bf514ca8b9ba7f0a33711daea",
  "hex",
);

/** Written by coco_keyprovider: guest-components, ocicrypt-rs/data/sample_kbc_annotation.json */
const SAMPLE = {
  kid: "kbs:///default/key/1",
  wrapped_data:
    "KxAFgXwa0y72Xdygub9lF00RVMtSRbYzvakIEASgi3Gvt1wGLkhKPXf0S033Jdi6vAN6zBM7d0xZSDo2JCeew0FeKwTYgdJfdcPhuEpZOpjhwIsidyeiunzp0J/crvI1tSPZJw4DPHZN2eQtg71rDzIbuDM5ATheiDM9/YJv+k+n6Nv6/pRb8qynNzbWFz7Q8wEo1ZZlL6UftOBJ6j9GuEOTM2k/B+5sMA2VhGHSzDsKA1mn0qzcn2HJg4GcmxwDpJwzm5n7B4iIJ3A0umrQAjQ=",
  iv: "3PQMqtjbR4hxCr83",
  wrap_type: "A256GCM",
};
const CONTENT =
  '{"symkey":"1jL2jJV0Oyz2nmPkLtqulW6cKcpIUN5FpILcVnP5Uqs=","digest":"sha256:18be1897f9402f27c8c0eba7c86e0c00f5656db62961b5949d55f9565c42c6e7","cipheroptions":{"nonce":"r10F9oaCu+nWFXfod3l83g=="}}';

const KEK = Buffer.alloc(32, 7);
const KEY_ID = "kbs:///default/image-kek/1";
const { signal } = new AbortController();
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

const unwrap = (
  packet: unknown,
  kek: Buffer = SAMPLE_KEK,
  keyId?: string,
): Promise<Uint8Array | null> =>
  attestationAgent({ kek, keyId }).unwrapKey({ bytes: bytesOf(packet), params: [], signal });

describe("a packet of coco_keyprovider", () => {
  it.each([undefined, SAMPLE.kid])("is unwrapped with the key %s", async (keyId) => {
    expect(Buffer.from((await unwrap(SAMPLE, SAMPLE_KEK, keyId))!).toString()).toBe(CONTENT);
  });

  it("may be of version 2", async () => {
    const more = { version: "0.1.0", provider: "kbs", provider_settings: {}, annotations: {} };
    expect(await unwrap({ ...SAMPLE, ...more })).not.toBeNull();
  });

  it("is for another key by its name, or by its content", async () => {
    expect(await unwrap(SAMPLE, SAMPLE_KEK, KEY_ID)).toBeNull();
    expect(await unwrap(SAMPLE, KEK)).toBeNull();
    expect(await unwrap({ ...SAMPLE, iv: "3PQMqtjbR4hxCr84" })).toBeNull();
  });

  it.each([
    ["another algorithm", { wrap_type: "A256CTR" }],
    ["another provider", { provider: "aliyun" }],
    ["another version", { version: "0.2.0" }],
  ])("with %s is not supported", async (_, change) => {
    await expectCode(unwrap({ ...SAMPLE, ...change }), "WRAPPED_KEY_UNSUPPORTED");
  });

  it.each<[string, unknown]>([
    ["has no name", { ...SAMPLE, kid: undefined }],
    ["is a list", [SAMPLE]],
    ["has a short nonce", { ...SAMPLE, iv: "AAAA" }],
    ["has no nonce", { ...SAMPLE, iv: undefined }],
    ["has only a tag", { ...SAMPLE, wrapped_data: "AAAAAAAAAAAAAAAAAAAAAA==" }],
    ["has a number as ciphertext", { ...SAMPLE, wrapped_data: 1 }],
  ])("is damaged if it %s", async (_, packet) => {
    await expectCode(unwrap(packet), "WRAPPED_KEY_INVALID");
  });
});

describe("our packet", () => {
  const agent = attestationAgent({ kek: KEK, keyId: KEY_ID });
  const recipient = provider.recipient("attestation-agent", { provider: agent });

  it("is AES-256-GCM with the tag after the ciphertext, as guests read it", async () => {
    expect(recipient.scheme).toBe("provider.attestation-agent");
    const text = Buffer.from(await recipient.wrap(Buffer.from(CONTENT))).toString();
    const packet = JSON.parse(text) as typeof SAMPLE;
    expect(Object.keys(packet)).toEqual(Object.keys(SAMPLE));
    expect([packet.kid, packet.wrap_type]).toEqual([KEY_ID, "A256GCM"]);
    const wrapped = Buffer.from(packet.wrapped_data, "base64");
    const decipher = createDecipheriv("aes-256-gcm", KEK, Buffer.from(packet.iv, "base64"));
    decipher.setAuthTag(wrapped.subarray(-16));
    const plain = Buffer.concat([decipher.update(wrapped.subarray(0, -16)), decipher.final()]);
    expect(plain.toString()).toBe(CONTENT);
  });

  it("has a new nonce each time", async () => {
    const nonces = new Set<string>();
    for (let i = 0; i < 10; i++) {
      const text = Buffer.from(await recipient.wrap(Buffer.from("a"))).toString();
      nonces.add((JSON.parse(text) as typeof SAMPLE).iv);
    }
    expect(nonces.size).toBe(10);
  });
});

describe("the options", () => {
  it.each([0, 16, 31, 33])("may not have a key of %i bytes", async (size) => {
    await expectCode(() => attestationAgent({ kek: Buffer.alloc(size) }), "KEY_UNRECOGNIZED");
  });

  it.each(["", "default/key/1", "kbs:///a/b", "kbs:///a/b/c/d", "http:///a/b/c", "kbs:///a/b/c\n"])(
    "may not have the name %j",
    async (keyId) => {
      await expectCode(() => attestationAgent({ kek: KEK, keyId }), "RECIPIENT_INVALID");
    },
  );

  // The names of guest-components' own test of them, with a scheme.
  it.each([
    "kbs://a/b/c/d",
    "kbs:///b/c/d",
    "kbs+pkcs11://a/b/c/d",
    "kbs+myplugin:///repo/type/tag",
  ])("may have the name %s", (keyId) => {
    expect(() => attestationAgent({ kek: KEK, keyId })).not.toThrow();
  });

  it("need a name for wrapping", async () => {
    const agent = attestationAgent({ kek: KEK });
    await expectCode(agent.wrapKey({ bytes: KEK, params: [], signal }), "RECIPIENT_INVALID");
  });
});

describe("parameters of coco_keyprovider", () => {
  it.each([
    [`keypath=/kek::keyid=${KEY_ID}::algorithm=A256GCM`, []],
    ["keypath=/a=b", []],
    ["", ["without keypath"]],
    [`keyid=${KEY_ID}`, ["without keypath"]],
    ["sample=true", ["everybody knows"]],
    ["sample=true::keypath=/kek", ["everybody knows"]],
    ["keypath=/kek::algorithm=A256CTR", ["A256GCM"]],
  ])("%j have their problems", (params, words) => {
    const { problems } = parseParameters(params);
    expect(problems).toEqual(words.map((each) => expect.stringContaining(each) as string));
  });

  it("may contain equals signs and colons", () => {
    expect(parseParameters("keypath=/a=b:c::keyid=kbs:///a/b/c")).toEqual({
      ...{ keyPath: "/a=b:c", keyId: "kbs:///a/b/c", problems: [] },
    });
  });
});
