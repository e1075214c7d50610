import { describe, expect, it, vi } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { pgp } from "../../src/keywrap/pgp/index.js";
import { pkcs11 } from "../../src/keywrap/pkcs11/index.js";
import { pkcs7 } from "../../src/keywrap/pkcs7/index.js";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { planAddition } from "../../src/layer/recipient-changes.js";
import { applyChange } from "../../src/layer/recipient-changes.js";
import { unwrapOnly } from "../../src/layer/unwrap.js";
import { deepFreeze } from "../support/freeze.js";
import { craftLayer, ENC, openKey, plainRecipient } from "../support/layers.js";
import { wipedSizes } from "../support/wipes.js";
import { encryptedDescriptor, jweVector, vectorFile } from "../support/vectors.js";

const pem = (name: string): Recipient => jwe.recipient(vectorFile(`keys/${name}.pub.pem`));
const jwk = (name: string, change: object = {}): Recipient => {
  const value = JSON.parse(vectorFile(`keys/${name}.pub.jwk`).toString()) as object;
  return jwe.recipient(JSON.stringify({ ...value, ...change }));
};
const key = (name: string): Key => jwe.key(vectorFile(`keys/${name}.pem`));

interface Case {
  name: string;
  vector: string;
  recipient: Recipient;
  keys: string[];
  /** Where the recipient is found; `undefined` when it is added. */
  at?: number;
}

/** Go names no key in what it wrote for PEM files; for JWKs it writes their kid. */
const CASES: Case[] = [
  {
    name: "a kid that is there",
    vector: "recipients-2-jwk",
    recipient: jwk("rsa-2048"),
    keys: ["ec-p256"],
    at: 0,
  },
  {
    name: "a kid that is there, of another algorithm",
    vector: "recipients-2-jwk",
    recipient: jwk("rsa-2048", { alg: "RSA-OAEP" }),
    keys: ["ec-p256"],
  },
  {
    name: "a kid that is not there, of a key that is, which is not at hand",
    vector: "recipients-2-jwk",
    recipient: jwk("rsa-2048", { kid: "other" }),
    keys: ["ec-p256"],
  },
  {
    name: "a kid that is not there, of the key at hand",
    vector: "recipients-2-jwk",
    recipient: jwk("rsa-2048", { kid: "other" }),
    keys: ["ec-p256", "rsa-2048"],
    at: 0,
  },
  {
    name: "no kid, of the key at hand",
    vector: "pem-ec-p384",
    recipient: pem("ec-p384"),
    keys: ["ec-p384"],
    at: 0,
  },
  {
    name: "no kid, of another key than that at hand",
    vector: "pem-ec-p384",
    recipient: pem("ec-p521"),
    keys: ["ec-p384"],
  },
  {
    name: "no kid, of a key that is there and not at hand",
    vector: "recipients-2",
    recipient: pem("rsa-2048"),
    keys: ["ec-p256"],
  },
  {
    name: "no kid, of the key at hand with another algorithm",
    vector: "pem-rsa-2048",
    recipient: jwk("rsa-2048", { kid: undefined, alg: "RSA-OAEP-256" }),
    keys: ["rsa-2048"],
  },
];

describe("a recipient with", () => {
  it.each(CASES)("$name", async ({ vector, recipient, keys, at }) => {
    const descriptor = deepFreeze(encryptedDescriptor(jweVector(vector)));
    const options = { recipients: [recipient], keys: keys.map(key) };
    const change = await planAddition(descriptor, options);
    const after = applyChange(descriptor, change);
    if (at === undefined) {
      expect(change.present).toEqual([]);
      expect(change.added).toMatchObject([{ scheme: "jwe", index: 1 }]);
      expect(after.annotations[`${ENC}keys.jwe`]!.split(",")).toHaveLength(2);
    } else {
      expect(change.added).toEqual([]);
      expect(change.present).toMatchObject([{ scheme: "jwe", index: at }]);
      expect(after).toEqual(descriptor);
    }
  });

  const crafted = (): ReturnType<typeof craftLayer>["descriptor"] =>
    deepFreeze(craftLayer(Buffer.from("x")).descriptor);

  it.each([
    [
      "a certificate",
      "pkcs7",
      () => pkcs7.recipient(vectorFile("peers/keys/cert-rsa2048.pem")),
      () => pkcs7.recipient(vectorFile("peers/keys/cert-rsa3072.pem")),
    ],
    ["an OpenPGP key", "pgp", () => ring("rsa2048"), () => ring("rsa4096")],
  ])("%s that is present", async (_, scheme, same, other) => {
    const first = await add(crafted(), [same()]);
    const again = await planAddition(first, { recipients: [same(), other()], keys: [openKey()] });
    expect(again.present).toMatchObject([
      { scheme, index: 0, keyId: expect.any(String) as string },
    ]);
    expect(again.added).toMatchObject([{ scheme, index: 1 }]);
    expect(again.added[0]!.keyId).not.toBe(again.present[0]!.keyId);
  });

  it("an RSA key for PKCS#11 that is present and whose private key is given", async () => {
    const recipient = await pkcs11.recipient(vectorFile("keys/rsa-3072.pub.pem"));
    const opens = await pkcs11.key(vectorFile("keys/rsa-3072.pem"));
    const first = await add(crafted(), [recipient]);
    const again = await planAddition(first, { recipients: [recipient], keys: [opens] });
    expect(again.present).toMatchObject([{ scheme: "pkcs11", index: 0 }]);
    expect(again.added).toEqual([]);
    const sha1 = await pkcs11.recipient(vectorFile("keys/rsa-3072.pub.pem"), { hash: "sha1" });
    const other = await planAddition(first, { recipients: [sha1], keys: [opens] });
    expect(other.added).toMatchObject([{ scheme: "pkcs11", index: 1 }]);
  });

  function ring(name: string): Recipient {
    const keyRing = vectorFile(`peers/keys/pgp/${name}.pub.gpg`);
    return pgp.recipient(`${name}@example.org`, { keyRing });
  }

  it("several certificates in one wrapped key, all of them present", async () => {
    const certificates = ["2048", "3072"].map((size) =>
      vectorFile(`peers/keys/cert-rsa${size}.pem`),
    );
    const first = await add(crafted(), [pkcs7.recipient(certificates[1]!)]);
    const group = [pkcs7.group(certificates)];
    const partly = await planAddition(first, { recipients: group, keys: [openKey()] });
    expect(partly.present).toEqual([]);
    expect(partly.added).toMatchObject([{ index: 1 }, { index: 1 }]);
    const both = await add(first, [pkcs7.recipient(certificates[0]!)]);
    const fully = await planAddition(both, { recipients: group, keys: [openKey()] });
    expect(fully.present).toHaveLength(2);
    expect(applyChange(both, fully)).toEqual(both);
  });

  it("no recognisable id, such as a key provider's, is added again", async () => {
    const recipients = [plainRecipient("provider.kms")];
    const first = await add(crafted(), recipients);
    const again = await planAddition(first, { recipients, keys: [openKey()] });
    expect(again.added).toMatchObject([{ scheme: "provider.kms", index: 1 }]);
  });

  it("the same key as another new recipient is added once", async () => {
    const recipients = [pem("ec-p256"), jwk("ec-p521"), pem("ec-p256"), jwk("ec-p521")];
    const change = await planAddition(crafted(), { recipients, keys: [openKey()] });
    expect(change.added.map(({ index }) => index)).toEqual([0, 1]);
    expect(change.present.map(({ algorithm }) => algorithm)).toEqual([
      "ECDH-ES+A256KW",
      "ECDH-ES+A256KW",
    ]);
    const after = applyChange(crafted(), change);
    for (const name of ["ec-p256", "ec-p521"]) await unwrapOnly(after, { keys: [key(name)] });
  });

  it("adds the key of a wrapped key that cannot be tried", async () => {
    const broken: Key = {
      scheme: "test",
      thumbprint: "t",
      unwrap: () => Promise.reject(new Error("no token")),
    };
    const recipients = [{ ...plainRecipient(), thumbprint: "t" }];
    const change = await planAddition(crafted(), { recipients, keys: [broken, openKey()] });
    expect(change.added).toEqual([{ scheme: "test", index: 1 }]);
  });

  it("an algorithm that only its wrapped key shows", async () => {
    const keys = [{ ...openKey(), thumbprint: "t" }];
    const recipients = [{ ...plainRecipient(), thumbprint: "t" }];
    const change = await planAddition(crafted(), { recipients, keys });
    expect(change.present).toEqual([{ scheme: "test", index: 0 }]);
  });

  async function add(
    descriptor: ReturnType<typeof crafted>,
    recipients: Recipient[],
  ): Promise<ReturnType<typeof crafted>> {
    return applyChange(
      descriptor,
      await planAddition(descriptor, { recipients, keys: [openKey()] }),
    );
  }
});

describe("planAddition", () => {
  const { descriptor } = craftLayer(Buffer.from("x"));
  const other: Recipient = { ...plainRecipient("other") };

  it("adds two recipients that cannot be recognised", async () => {
    const change = await planAddition(descriptor, {
      recipients: [other, { ...other }],
      keys: [openKey()],
    });
    expect(change.added).toHaveLength(2);
  });

  it("tries no key on wrapped keys with the thumbprint of no new recipient", async () => {
    const key = { ...openKey(), thumbprint: "another" };
    const unwrap = vi.spyOn(key, "unwrap");
    const recipients = [{ ...plainRecipient(), thumbprint: "new" }];
    await planAddition(descriptor, { recipients, keys: [key] });
    // Once, for the secret: each use can ask for a PIN.
    expect(unwrap).toHaveBeenCalledTimes(1);
  });

  it("wipes the secret after wrapping it for new recipients", async () => {
    const options = { recipients: [other], keys: [openKey()] };
    const sizes = await wipedSizes(() => planAddition(descriptor, options));
    expect(sizes).toEqual(expect.arrayContaining([32, 16]));
  });
});
