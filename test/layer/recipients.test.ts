import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { decryptLayer } from "../../src/layer/decrypt.js";
import { encryptLayer } from "../../src/layer/encrypt.js";
import { addRecipients } from "../../src/layer/recipients.js";
import { unwrapOnly } from "../../src/layer/unwrap.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import {
  craftLayer,
  ENC,
  foreignKey,
  openKey,
  plainRecipient,
  rightPrivateOptions,
  TAR,
} from "../support/layers.js";
import {
  encryptedDescriptor,
  expand,
  jweVector,
  vectorCiphertext,
  vectorFile,
} from "../support/vectors.js";

const key = (name: string): Key => jwe.key(vectorFile(`keys/${name}.pem`));
const recipient = (name: string): Recipient => jwe.recipient(vectorFile(`keys/${name}.pub.pem`));
const DIGEST = `sha256:${"0".repeat(64)}`;

describe("addRecipients", () => {
  const vector = jweVector("recipients-2");
  const ciphertext = vectorCiphertext(vector);
  const descriptor = deepFreeze({
    ...encryptedDescriptor(vector),
    annotations: {
      "com.example.a": "b",
      ...vector.annotations,
      [`${ENC}keys.provider.unknown`]: "bm90IG91cnM=",
    },
    urls: ["https://example.com/"],
    data: ciphertext.toString("base64"),
    "com.example.unknown": { deep: [1] },
  });

  it("adds the new recipients and keeps the old ones", async () => {
    const recipients = deepFreeze([recipient("ec-p521"), recipient("rsa-3072")]);
    const after = await addRecipients(descriptor, { recipients, keys: [key("ec-p256")] });
    for (const name of ["rsa-2048", "ec-p256", "ec-p521", "rsa-3072"]) {
      const layer = await decryptLayer(ciphertext, { descriptor: after, keys: [key(name)] });
      expect(await collect(layer.stream)).toEqual(expand(vector.plaintext));
      expect(layer.recordedDigest).toBe(vector.descriptor.digest);
    }
    for (const name of ["rsa-4096", "ec-p384"]) {
      await expectCode(unwrapOnly(after, { keys: [key(name)] }), "NO_MATCHING_KEY");
    }
  });

  it("changes only the lists of the new recipients", async () => {
    const before = structuredClone(descriptor);
    const recipients = [recipient("ec-p521"), plainRecipient("provider.kms")];
    const after = await addRecipients(descriptor, { recipients, keys: [key("rsa-2048")] });
    expect(descriptor).toEqual(before);

    const { annotations, ...rest } = after;
    const { annotations: annotationsBefore, ...restBefore } = before;
    expect(rest).toEqual(restBefore);
    const names = Object.keys(annotationsBefore);
    expect(Object.keys(annotations)).toEqual([...names, `${ENC}keys.provider.kms`]);
    for (const name of names.filter((name) => name !== `${ENC}keys.jwe`)) {
      expect(annotations[name]).toBe(annotationsBefore[name as keyof typeof annotationsBefore]);
    }
    const [first, second, ...more] = annotations[`${ENC}keys.jwe`]!.split(",");
    expect(first).toBe(vector.annotations[`${ENC}keys.jwe`]);
    expect(JSON.parse(Buffer.from(second!, "base64").toString())).toHaveProperty("protected");
    expect(more).toEqual([]);
    const wrapped = annotations[`${ENC}keys.provider.kms`]!;
    expect(wrapped).toBe(vector.privateOptions);
  });

  it("writes the complete secret if the old one lacked members", async () => {
    const { symkey, cipheroptions } = rightPrivateOptions;
    const crafted = craftLayer(Buffer.from("x"), { privateOptions: { symkey, cipheroptions } });
    const after = await addRecipients(crafted.descriptor, {
      recipients: [plainRecipient("other")],
      keys: [openKey()],
    });
    const text = Buffer.from(after.annotations[`${ENC}keys.other`]!, "base64").toString();
    expect(text).toBe(JSON.stringify(rightPrivateOptions));
  });

  it("changes nothing if it is repeated", async () => {
    const options = { recipients: [recipient("ec-p521")], keys: [key("rsa-2048")] };
    const once = await addRecipients(descriptor, options);
    expect(once.annotations[`${ENC}keys.jwe`]!.split(",")).toHaveLength(2);
    // The recipient's kid identifies it, whichever key opens the layer.
    expect(await addRecipients(once, options)).toEqual(once);
    const unnamed = {
      ...options,
      recipients: [jwe.recipient(vectorFile("keys/ec-p521.pub.pem"), { kid: "none" })],
    };
    const twice = await addRecipients(descriptor, unnamed);
    // Without a kid, and without the new recipient's own key, it cannot be identified.
    const thrice = await addRecipients(twice, unnamed);
    expect(thrice.annotations[`${ENC}keys.jwe`]!.split(",")).toHaveLength(3);
    const keys = [key("rsa-2048"), key("ec-p521")];
    expect(await addRecipients(thrice, { ...unnamed, keys })).toEqual(thrice);
  });

  it("adds recipients to a layer of this library", async () => {
    const layer = encryptLayer(Buffer.from("content"), {
      descriptor: { mediaType: TAR },
      recipients: [recipient("ec-p384")],
    });
    const encrypted = await collect(layer.stream);
    const after = await addRecipients(await layer.finalize(), {
      recipients: [recipient("ec-p521")],
      keys: [key("ec-p384")],
    });
    for (const name of ["ec-p384", "ec-p521"]) {
      const opened = await decryptLayer(encrypted, { descriptor: after, keys: [key(name)] });
      expect((await collect(opened.stream)).toString()).toBe("content");
    }
  });

  const crafted = craftLayer(Buffer.from("x")).descriptor;
  const { [`${ENC}pubopts`]: publicOptions, ...withoutPublic } = crafted.annotations;
  const failing: Recipient = { scheme: "test", wrap: () => Promise.reject(new Error("no")) };
  const huge: Recipient = {
    scheme: "test",
    wrap: () => Promise.resolve(Buffer.alloc(1024 * 1024)),
  };

  it.each<[string, Parameters<typeof addRecipients>, ErrorCode]>([
    ["no recipients", [crafted, { recipients: [], keys: [openKey()] }], "NO_RECIPIENTS"],
    ["no keys", [crafted, { recipients: [plainRecipient()], keys: [] }], "NO_KEYS"],
    [
      "a foreign key",
      [crafted, { recipients: [plainRecipient()], keys: [foreignKey()] }],
      "NO_MATCHING_KEY",
    ],
    [
      "a plain layer",
      [
        { mediaType: TAR, digest: DIGEST },
        { recipients: [plainRecipient()], keys: [openKey()] },
      ],
      "NOT_ENCRYPTED",
    ],
    [
      "a recipient that fails",
      [crafted, { recipients: [plainRecipient(), failing], keys: [openKey()] }],
      "WRAP_FAILED",
    ],
    [
      "a wrapped key that is too large",
      [crafted, { recipients: [huge], keys: [openKey()] }],
      "ANNOTATION_TOO_LARGE",
    ],
    [
      "no public options",
      [
        { ...crafted, annotations: withoutPublic },
        { recipients: [plainRecipient()], keys: [openKey()] },
      ],
      "PUBLIC_OPTIONS_MISSING",
    ],
    [
      "public options cut off",
      [
        {
          ...crafted,
          annotations: { ...withoutPublic, [`${ENC}pubopts`]: publicOptions!.slice(4) },
        },
        { recipients: [plainRecipient()], keys: [openKey()] },
      ],
      "PUBLIC_OPTIONS_INVALID",
    ],
    [
      "an invalid secret",
      [
        craftLayer(Buffer.alloc(1), { privateOptions: {} }).descriptor,
        { recipients: [plainRecipient()], keys: [openKey()] },
      ],
      "SYMKEY_INVALID",
    ],
  ])("rejects %s", async (_, [descriptor, options], code) => {
    await expectCode(addRecipients(deepFreeze(descriptor), options), code);
  });

  it("wipes the secret, whether it wrapped or failed", async () => {
    const kept: Uint8Array[] = [];
    const keeping: Recipient = {
      scheme: "test",
      wrap: (privateOptions) => {
        kept.push(privateOptions);
        return Promise.resolve(Uint8Array.of(1));
      },
    };
    await addRecipients(crafted, { recipients: [keeping], keys: [openKey()] });
    const options = { recipients: [keeping, failing], keys: [openKey()] };
    await expectCode(addRecipients(crafted, options), "WRAP_FAILED");
    expect(kept).toHaveLength(2);
    expect(kept.every((secret) => secret.every((byte) => byte === 0))).toBe(true);
  });

  it("rejects with the reason of an aborted signal", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    const options = { recipients: [plainRecipient()], keys: [openKey()], signal };
    await expect(addRecipients(crafted, options)).rejects.toBe(signal.reason);
  });
});
