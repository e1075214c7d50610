import { describe, expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key } from "../../src/keywrap/types.js";
import { decryptLayer } from "../../src/layer/decrypt.js";
import {
  parsePrivateOptions,
  parsePublicOptions,
  serializePrivateOptions,
  serializePublicOptions,
} from "../../src/cipher/options.js";
import { unwrapOnly } from "../../src/layer/unwrap.js";
import type { ByteSource } from "../../src/io/source.js";
import { chunked, collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import {
  encryptedDescriptor,
  expand,
  jweVector,
  jweVectors,
  vectorCiphertext,
  vectorFile,
  vectorFolder,
} from "../support/vectors.js";

const privateKeys = new Map<string, Key>(
  vectorFolder("keys")
    .filter((name) => !name.includes(".pub."))
    .map((name) => [`keys/${name}`, jwe.key(vectorFile(`keys/${name}`), { label: name })]),
);
const KIB = 1024;
const CHUNKS = [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 256 * KIB];

it("vectors and keys of each kind exist", () => {
  expect(jweVectors.length).toBeGreaterThan(25);
  expect(privateKeys.size).toBe(12);
});

describe.each(jweVectors)("Go's layer $name", (vector) => {
  const descriptor = deepFreeze(encryptedDescriptor(vector));
  const plaintext = expand(vector.plaintext);
  const ciphertext = vectorCiphertext(vector);
  const foreign = [...privateKeys].filter(([path]) => !vector.opensWith.includes(path));
  const rightKey = privateKeys.get(vector.opensWith[0]!)!;

  async function expectPlaintext(source: ByteSource, keys: readonly Key[]): Promise<void> {
    const layer = await decryptLayer(source, { descriptor, keys });
    expect((await collect(layer.stream)).equals(plaintext)).toBe(true);
    expect(await layer.finalize()).toEqual({
      ...vector.descriptor,
      // An empty digest is one that was not known.
      ...(vector.descriptor.digest === "" && {
        digest: "sha256:c042019eb661695df218d05006eb384ff769af56f348a624d18ba08b724ade05",
      }),
    });
    expect(layer.recordedDigest).toBe(vector.descriptor.digest);
    expect(layer.opening.key).toBe(keys[0]);
    expect(layer.opening.scheme).toBe("jwe");
  }

  it.each(vector.opensWith)("opens with %s", async (path) => {
    await expectPlaintext(ciphertext, [privateKeys.get(path)!]);
  });

  const boundaries = CHUNKS.filter((size) => size < 2 * plaintext.byteLength);
  const small = plaintext.byteLength <= 65537 ? [1] : [];
  it.each([...small, 9973, ...boundaries])("opens in chunks of %i bytes", async (size) => {
    await expectPlaintext(chunked(ciphertext, size), [rightKey]);
  });

  it.each(foreign)("does not open with %s", async (_, key) => {
    await expectCode(decryptLayer(ciphertext, { descriptor, keys: [key] }), "NO_MATCHING_KEY");
    await expectCode(unwrapOnly(descriptor, { keys: [key] }), "NO_MATCHING_KEY");
  });

  it("writes Go's bytes of the private and public options", () => {
    const json = Buffer.from(vector.privateOptions, "base64");
    const privateOptions = parsePrivateOptions(json);
    const { symkey, digest, cipheroptions } = JSON.parse(json.toString()) as {
      symkey: string;
      digest: string;
      cipheroptions: { nonce: string };
    };
    expect(privateOptions).toEqual({
      symkey: Buffer.from(symkey, "base64"),
      nonce: Buffer.from(cipheroptions.nonce, "base64"),
      digest,
    });
    expect(Buffer.from(serializePrivateOptions(privateOptions))).toEqual(json);

    const publicOptions = parsePublicOptions(descriptor);
    const { cipher, hmac } = JSON.parse(
      Buffer.from(vector.publicOptions, "base64").toString(),
    ) as Record<string, string>;
    expect(publicOptions).toEqual({ cipher, hmac: Buffer.from(hmac!, "base64") });
    expect(serializePublicOptions(publicOptions)).toBe(vector.publicOptions);
  });
});

it("the vectors' private options have the sizes that Go gives them", () => {
  const size = (name: string): number =>
    Buffer.from(jweVector(name).privateOptions, "base64").byteLength;
  expect(size("pem-rsa-2048")).toBe(193);
  expect(size("digest-empty")).toBe(122);
});
