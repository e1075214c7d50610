import { describe, expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { decryptLayer } from "../../src/layer/decrypt.js";
import { listRecipients } from "../../src/layer/explain.js";
import { unwrapOnly } from "../../src/layer/unwrap.js";
import { chunked, collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { TAR } from "../support/layers.js";
import { sha256, vectorFile } from "../support/vectors.js";

const plain = vectorFile("peers/layers/plain.bin");

// vectors/peers/README.md
const LAYERS: Record<string, { opensWith: string[]; foreign: string[]; recipients: string[] }> = {
  "jwe-rsa2048": {
    opensWith: ["rsa2048.pem", "r.jwk"],
    foreign: ["rsa3072.pem", "ec256.pem", "e.jwk"],
    recipients: ["RSA-OAEP"],
  },
  "jwe-ec256": {
    opensWith: ["ec256.pem"],
    foreign: ["ec521.pem", "rsa2048.pem"],
    recipients: ["ECDH-ES+A256KW"],
  },
  "jwe-ec521": {
    opensWith: ["ec521.pem"],
    foreign: ["ec256.pem", "rsa2048.pem", "e.jwk"],
    recipients: ["ECDH-ES+A256KW"],
  },
  "jwe-general-3rec": {
    opensWith: ["rsa2048.pem", "rsa3072.pem", "ec256.pem"],
    foreign: ["ec521.pem"],
    recipients: ["RSA-OAEP", "RSA-OAEP", "ECDH-ES+A256KW"],
  },
  "jwe-jwk-rsaoaep256-kid": {
    opensWith: ["rsa2048.pem", "r.jwk"],
    foreign: ["rsa3072.pem", "ec256.pem"],
    recipients: ["RSA-OAEP-256"],
  },
  "jwe-jwk-ecdh-a128kw-kid": {
    opensWith: ["e.jwk"],
    foreign: ["ec521.pem", "rsa2048.pem"],
    recipients: ["ECDH-ES+A128KW"],
  },
  "jwe-added": {
    opensWith: ["rsa2048.pem", "ec256.pem"],
    foreign: ["ec521.pem", "rsa3072.pem"],
    recipients: ["RSA-OAEP", "ECDH-ES+A256KW"],
  },
  "mixed-jwe-pkcs7-pkcs11": {
    opensWith: ["rsa2048.pem"],
    foreign: ["rsa3072.pem", "ec256.pem"],
    recipients: ["RSA-OAEP"],
  },
};

describe.each(Object.entries(LAYERS))("%s, made with ocicrypt 1.1.10", (name, facts) => {
  const ciphertext = vectorFile(`peers/layers/${name}.enc`);
  const descriptor = {
    mediaType: `${TAR}+encrypted`,
    digest: sha256(ciphertext),
    size: 5000,
    annotations: JSON.parse(vectorFile(`peers/layers/${name}.json`).toString()) as Record<
      string,
      string
    >,
  };
  const key = (file: string): ReturnType<typeof jwe.key> =>
    jwe.key(vectorFile(`peers/layers/keys/${file}`));

  it.each(facts.opensWith)("opens with %s", async (file) => {
    for (const source of [ciphertext, chunked(ciphertext, 1), chunked(ciphertext, 4999)]) {
      const layer = await decryptLayer(source, { descriptor, keys: [key(file)] });
      expect((await collect(layer.stream)).equals(plain)).toBe(true);
      expect(await layer.finalize()).toEqual({ mediaType: TAR, digest: sha256(plain), size: 5000 });
    }
  });

  it.each(facts.foreign)("does not open with %s", async (file) => {
    await expectCode(unwrapOnly(descriptor, { keys: [key(file)] }), "NO_MATCHING_KEY");
  });

  it("opens when all other keys are tried before the right one", async () => {
    const [right] = facts.opensWith;
    const keys = [...facts.foreign, right!].map(key);
    const opening = await unwrapOnly(descriptor, { keys });
    expect(opening.key).toBe(keys.at(-1));
  });

  it("reports all its recipients", async () => {
    const recipients = (await listRecipients(descriptor)).filter(({ scheme }) => scheme === "jwe");
    expect(recipients.map(({ algorithm }) => algorithm)).toEqual(facts.recipients);
  });
});
