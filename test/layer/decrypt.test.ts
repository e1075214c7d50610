import { createHmac } from "node:crypto";
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { isOcicryptError, type ErrorCode } from "../../src/errors.js";
import { decryptLayer, decryptLayerBytes, HELD_BACK_BYTES } from "../../src/layer/decrypt.js";
import { encryptLayerBytes } from "../../src/layer/encrypt.js";
import { chunked, collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import {
  base64,
  craftLayer,
  ENC,
  foreignKey,
  NONCE,
  openKey,
  plainRecipient,
  rightPrivateOptions,
  rightPublicOptions,
  SYMKEY,
  TAR,
  type Craft,
  type CraftedDescriptor,
} from "../support/layers.js";
import { drain, stalling, watched } from "../support/sources.js";
import { sha256 } from "../support/vectors.js";
import { wipedSizes } from "../support/wipes.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const keys = [openKey()];
const pattern = (size: number): Buffer => Buffer.alloc(size, "a plain layer, ");
const DIGEST = `sha256:${"0".repeat(64)}`;

async function expectStreamError(
  source: AsyncIterable<Uint8Array> | Uint8Array,
  descriptor: CraftedDescriptor,
  code: ErrorCode,
): Promise<Buffer> {
  const layer = await decryptLayer(source, { descriptor, keys });
  const { bytes, error } = await drain(layer.stream);
  expect(isOcicryptError(error, code), `${String(error)} should be ${code}`).toBe(true);
  await expectCode(layer.finalize(), "NOT_FINISHED");
  return bytes;
}

describe("a layer that was changed", () => {
  const flip = (at: (size: number) => number) => (ciphertext: Buffer) => {
    const changed = Buffer.from(ciphertext);
    changed[at(changed.byteLength)]! ^= 1;
    return changed;
  };
  const changes: [string, (ciphertext: Buffer) => Buffer, ErrorCode][] = [
    ["the first byte flipped", flip(() => 0), "BLOB_DIGEST_MISMATCH"],
    ["the middle byte flipped", flip((size) => size >> 1), "BLOB_DIGEST_MISMATCH"],
    ["the last byte flipped", flip((size) => size - 1), "BLOB_DIGEST_MISMATCH"],
    ["the last byte cut off", (ciphertext) => ciphertext.subarray(0, -1), "BLOB_SIZE_MISMATCH"],
    ["cut in half", (ciphertext) => ciphertext.subarray(0, 50), "BLOB_SIZE_MISMATCH"],
    ["nothing left", () => Buffer.alloc(0), "BLOB_SIZE_MISMATCH"],
    [
      "one byte more",
      (ciphertext) => Buffer.concat([ciphertext, SYMKEY.subarray(31)]),
      "BLOB_SIZE_MISMATCH",
    ],
    [
      "64 KiB more",
      (ciphertext) => Buffer.concat([ciphertext, pattern(64 * KIB)]),
      "BLOB_SIZE_MISMATCH",
    ],
  ];
  const sizes = [100, 10240, 10241, 65536, 65537, MIB];
  const chunkings = [1000, 16 * KIB, 64 * KIB, Infinity];

  describe.each(sizes)("of %i bytes", (size) => {
    const plaintext = pattern(size);
    it.each(changes)("fails with %s", async (_, change, checkedCode) => {
      for (const checked of [true, false]) {
        const { ciphertext, descriptor } = craftLayer(plaintext, { checked });
        const changed = change(ciphertext);
        for (const chunk of chunkings) {
          const source = chunk === Infinity ? changed : chunked(changed, chunk);
          const code = checked ? checkedCode : "HMAC_MISMATCH";
          const released = await expectStreamError(source, descriptor, code);
          expect(released.byteLength).toBeLessThanOrEqual(
            Math.max(0, changed.byteLength - 64 * KIB),
          );
          if (size <= 64 * KIB && changed.byteLength <= 64 * KIB) expect(released).toHaveLength(0);
        }
      }
    });
  });

  it("of no bytes, to which one was added", async () => {
    for (const checked of [true, false]) {
      const { descriptor } = craftLayer(Buffer.alloc(0), { checked });
      const code = checked ? "BLOB_SIZE_MISMATCH" : "HMAC_MISMATCH";
      expect(await expectStreamError(Buffer.from("x"), descriptor, code)).toHaveLength(0);
    }
  });

  it("of no bytes, with another HMAC", async () => {
    const publicOptions = rightPublicOptions(Buffer.from("x"));
    const { descriptor } = craftLayer(Buffer.alloc(0), { publicOptions });
    await expectStreamError(Buffer.alloc(0), descriptor, "HMAC_MISMATCH");
  });

  it("holds back as many bytes as HELD_BACK_BYTES says", () => {
    expect(HELD_BACK_BYTES).toBe(65536);
  });

  it("fails with the HMAC of another layer, or of the plaintext, or of another key", async () => {
    const plaintext = pattern(50);
    const { ciphertext } = craftLayer(plaintext);
    const hmacs = [
      createHmac("sha256", SYMKEY).update("other").digest("base64"),
      createHmac("sha256", SYMKEY).update(plaintext).digest("base64"),
      createHmac("sha256", Buffer.alloc(32)).update(ciphertext).digest("base64"),
      base64(Buffer.alloc(32)),
    ];
    for (const hmac of hmacs) {
      const publicOptions = { ...rightPublicOptions(ciphertext), hmac };
      const { descriptor } = craftLayer(plaintext, { publicOptions, checked: true });
      expect(await expectStreamError(ciphertext, descriptor, "HMAC_MISMATCH")).toHaveLength(0);
    }
  });

  it("stops reading after the descriptor's size", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(10), { checked: true });
    const endless = watched(Array.from({ length: 1000 }, () => Buffer.alloc(64 * KIB)));
    await expectStreamError(endless, descriptor, "BLOB_SIZE_MISMATCH");
    expect(endless.pulled).toBeLessThan(4);
    expect(endless.closed).toBe(true);
    expect(ciphertext).toHaveLength(10);
  });
});

describe("decryptLayer", () => {
  it.each([0, 1, 16, 65535, 65536, 65537, 131072, 131073, MIB + 1])(
    "restores a layer of %i bytes from chunks of any size",
    async (size) => {
      const { plaintext, ciphertext, descriptor } = craftLayer(pattern(size), { checked: true });
      for (const chunk of [7919, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 256 * KIB]) {
        const layer = await decryptLayer(chunked(ciphertext, chunk), { descriptor, keys });
        expect((await collect(layer.stream)).equals(plaintext)).toBe(true);
      }
      const layer = await decryptLayer(ciphertext, { descriptor, keys });
      expect((await collect(layer.stream)).equals(plaintext)).toBe(true);
    },
  );

  it.each<[string, (bytes: Buffer) => AsyncIterable<Uint8Array>]>([
    ["a Node stream", (bytes) => Readable.from([bytes.subarray(0, 50), bytes.subarray(50)])],
    ["a web stream", (bytes) => new Blob([bytes]).stream()],
    ["a fetch body", (bytes) => new Response(bytes).body!],
  ])("reads from %s", async (_, open) => {
    const { plaintext, ciphertext, descriptor } = craftLayer(pattern(200_000));
    const layer = await decryptLayer(open(ciphertext), { descriptor, keys });
    expect((await collect(layer.stream)).equals(plaintext)).toBe(true);
  });

  it("returns the descriptor of the plain layer, without members that would leak or be wrong", async () => {
    const crafted = craftLayer(pattern(10), { checked: true });
    const descriptor = deepFreeze({
      ...crafted.descriptor,
      mediaType: `${TAR}+gzip+encrypted`,
      annotations: { ...crafted.descriptor.annotations, "com.example.a": "b", [`${ENC}new`]: "x" },
      data: base64(crafted.ciphertext),
      urls: ["https://example.com/"],
      artifactType: "text/x",
      "com.example.unknown": { deep: [1] },
    });
    const before = structuredClone(descriptor);
    const layer = await decryptLayer(crafted.ciphertext, { descriptor, keys: deepFreeze(keys) });
    await collect(layer.stream);
    expect(await layer.finalize()).toEqual({
      mediaType: `${TAR}+gzip`,
      digest: sha256(crafted.plaintext),
      size: 10,
      annotations: { "com.example.a": "b" },
      artifactType: "text/x",
      "com.example.unknown": { deep: [1] },
    });
    expect(descriptor).toEqual(before);
  });

  it("returns no annotations if there were none", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(10));
    const layer = await decryptLayer(ciphertext, { descriptor, keys });
    await collect(layer.stream);
    expect("annotations" in (await layer.finalize())).toBe(false);
  });

  it("returns the recorded digest without checking it", async () => {
    const privateOptions = { ...rightPrivateOptions, digest: DIGEST };
    const { ciphertext, descriptor } = craftLayer(pattern(10), { privateOptions });
    const layer = await decryptLayer(ciphertext, { descriptor, keys });
    expect(layer.recordedDigest).toBe(DIGEST);
    await collect(layer.stream);
    expect((await layer.finalize()).digest).toBe(sha256(pattern(10)));
  });

  it("finishes only after its stream", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(200_000));
    const layer = await decryptLayer(chunked(ciphertext, 64 * KIB), { descriptor, keys });
    await expectCode(layer.finalize(), "NOT_FINISHED");
    const reader = layer.stream.getReader();
    await reader.read();
    await expectCode(layer.finalize(), "NOT_FINISHED");
    await reader.cancel();
    await expectCode(layer.finalize(), "NOT_FINISHED");
  });

  it("accepts the media type alone, or the annotations alone, as encrypted", async () => {
    const { plaintext, ciphertext, descriptor } = craftLayer(pattern(10));
    const layer = await decryptLayer(ciphertext, {
      descriptor: { ...descriptor, mediaType: TAR },
      keys,
    });
    expect(await collect(layer.stream)).toEqual(plaintext);
    expect((await layer.finalize()).mediaType).toBe(TAR);
  });

  describe("rejects before it reads", () => {
    const nonce = (bytes: Buffer): unknown => ({ nonce: base64(bytes) });
    const craft = (change: Craft): CraftedDescriptor => craftLayer(pattern(10), change).descriptor;
    const publicOptions = rightPublicOptions(craftLayer(pattern(10)).ciphertext);
    const right = craft({});
    const withoutPublic = { [`${ENC}keys.test`]: right.annotations[`${ENC}keys.test`]! };

    it.each<[string, CraftedDescriptor, ErrorCode]>([
      ["a plain layer", { mediaType: TAR, annotations: {} }, "NOT_ENCRYPTED"],
      ["a negative size", { ...right, size: -1 }, "DESCRIPTOR_INVALID"],
      ["an invalid digest", { ...right, digest: "sha256:x" }, "DESCRIPTOR_INVALID"],
      ["no public options", { ...right, annotations: withoutPublic }, "PUBLIC_OPTIONS_MISSING"],
      ["public options that are none", craft({ publicOptions: [] }), "PUBLIC_OPTIONS_INVALID"],
      [
        "an unknown cipher",
        craft({ publicOptions: { ...publicOptions, cipher: "ROT13" } }),
        "CIPHER_UNSUPPORTED",
      ],
      ["no HMAC", craft({ publicOptions: { ...publicOptions, hmac: null } }), "HMAC_MISSING"],
      [
        "a short HMAC",
        craft({ publicOptions: { ...publicOptions, hmac: "AAAA" } }),
        "HMAC_INVALID",
      ],
      [
        "another nonce in public",
        craft({ publicOptions: { ...publicOptions, cipheroptions: nonce(Buffer.alloc(16)) } }),
        "NONCE_OVERRIDDEN",
      ],
      [
        "a short nonce in public",
        craft({ publicOptions: { ...publicOptions, cipheroptions: nonce(Buffer.alloc(15)) } }),
        "NONCE_OVERRIDDEN",
      ],
      [
        "the right nonce in public",
        craft({ publicOptions: { ...publicOptions, cipheroptions: nonce(NONCE) } }),
        "NONCE_OVERRIDDEN",
      ],
      [
        "private options that are none",
        craft({ privateOptions: "garbage" }),
        "PRIVATE_OPTIONS_INVALID",
      ],
      [
        "a short key",
        craft({ privateOptions: { ...rightPrivateOptions, symkey: "AAAA" } }),
        "SYMKEY_INVALID",
      ],
      [
        "no nonce",
        craft({ privateOptions: { ...rightPrivateOptions, cipheroptions: null } }),
        "NONCE_MISSING",
      ],
      [
        "a long nonce",
        craft({
          privateOptions: { ...rightPrivateOptions, cipheroptions: nonce(Buffer.alloc(17)) },
        }),
        "NONCE_INVALID",
      ],
      ["an empty list", craft({ list: "" }), "ANNOTATION_EMPTY"],
      ["a list that is not base64", craft({ list: "!" }), "ANNOTATION_BASE64"],
      ["a list over the limit", craft({ list: ",".repeat(2000) }), "ANNOTATION_TOO_LARGE"],
    ])("%s", async (_, descriptor, code) => {
      const source = watched([pattern(10)]);
      await expectCode(decryptLayer(source, { descriptor, keys }), code);
      expect(source.pulled).toBe(0);
    });

    it("no key, and no matching key", async () => {
      const source = watched([]);
      await expectCode(decryptLayer(source, { descriptor: right, keys: [] }), "NO_KEYS");
      const foreign = [foreignKey(), openKey("other")];
      await expectCode(
        decryptLayer(source, { descriptor: right, keys: foreign }),
        "NO_MATCHING_KEY",
      );
      expect(source.pulled).toBe(0);
    });
  });

  it("reports the decrypted bytes in order up to the last", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(200_000));
    const reported: number[] = [];
    const onProgress = (bytes: number): void => {
      reported.push(bytes);
    };
    const layer = await decryptLayer(chunked(ciphertext, 40_000), { descriptor, keys, onProgress });
    await collect(layer.stream);
    expect(reported).toEqual([40_000, 80_000, 120_000, 160_000, 200_000]);
  });

  it("fails with the error of onProgress, and closes the source", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(200_000));
    const source = watched([ciphertext.subarray(0, 100_000), ciphertext.subarray(100_000)]);
    const reason = new Error("progress bar");
    const onProgress = (): void => {
      throw reason;
    };
    const layer = await decryptLayer(source, { descriptor, keys, onProgress });
    await expect(collect(layer.stream)).rejects.toBe(reason);
    expect(source.closed).toBe(true);
  });

  it("fails with the source's error", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(200_000));
    const reason = new Error("network");
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield* chunked(ciphertext.subarray(0, 100_000), 50_000);
      throw reason;
    }
    const layer = await decryptLayer(failing(), { descriptor, keys });
    const { bytes, error } = await drain(layer.stream);
    expect(error).toBe(reason);
    expect(bytes.byteLength).toBeLessThanOrEqual(100_000 - HELD_BACK_BYTES);
    await expectCode(layer.finalize(), "NOT_FINISHED");
  });

  it("reads only as far ahead as needed to hold back 64 KiB", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(2 * MIB));
    const chunk = 32 * KIB;
    const source = watched(
      Array.from({ length: 64 }, (_, i) => ciphertext.subarray(i * chunk, (i + 1) * chunk)),
    );
    const layer = await decryptLayer(source, { descriptor, keys });
    await turn();
    expect(source.pulled).toBe(0);
    const reader = layer.stream.getReader();
    for (let read = 1; read <= 10; read++) {
      expect((await reader.read()).value).toHaveLength(chunk);
      await turn();
      expect(source.pulled).toBeLessThanOrEqual(read + 64 / 32 + 1);
    }
    await reader.cancel();
    expect(source.closed).toBe(true);
  });

  it("does not change the caller's ciphertext", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(100_000));
    const before = Buffer.from(ciphertext);
    const layer = await decryptLayer(ciphertext, { descriptor, keys });
    await collect(layer.stream);
    expect(ciphertext.equals(before)).toBe(true);
  });
});

describe("decryptLayer, aborted", () => {
  const reason = new Error("enough");

  it("before the start, rejects with the reason of the signal", async () => {
    const { descriptor } = craftLayer(pattern(10));
    const source = watched([]);
    const signal = AbortSignal.abort(reason);
    await expect(decryptLayer(source, { descriptor, keys, signal })).rejects.toBe(reason);
    expect(source.pulled).toBe(0);
  });

  it("between the start and the first read, fails the stream", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(10));
    const controller = new AbortController();
    const source = watched([ciphertext]);
    const layer = await decryptLayer(source, { descriptor, keys, signal: controller.signal });
    controller.abort(reason);
    await expect(collect(layer.stream)).rejects.toBe(reason);
    expect(source.pulled).toBe(0);
  });

  it("while the source stalls, fails the stream and closes the source", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(200_000));
    const controller = new AbortController();
    const source = stalling([ciphertext.subarray(0, 70_000), ciphertext.subarray(70_000, 140_000)]);
    const layer = await decryptLayer(source, { descriptor, keys, signal: controller.signal });
    const draining = drain(layer.stream);
    await source.stalled;
    controller.abort(reason);
    const { bytes, error } = await draining;
    expect(error).toBe(reason);
    expect(bytes.byteLength).toBe(70_000);
    expect(source.closed).toBe(true);
    await expectCode(layer.finalize(), "NOT_FINISHED");
  });

  it("while a key unwraps, rejects with the reason instead of the key's error", async () => {
    const { descriptor } = craftLayer(pattern(10));
    const controller = new AbortController();
    const key = {
      scheme: "test",
      unwrap: () => {
        controller.abort(reason);
        return Promise.reject(new Error("connection lost"));
      },
    };
    const { signal } = controller;
    await expect(decryptLayer(watched([]), { descriptor, keys: [key], signal })).rejects.toBe(
      reason,
    );
  });

  it("cancelled while the source stalls, resolves and closes the source", async () => {
    const { ciphertext, descriptor } = craftLayer(pattern(200_000));
    const source = stalling([ciphertext.subarray(0, 70_000)]);
    const layer = await decryptLayer(source, { descriptor, keys });
    const reader = layer.stream.getReader();
    const read = reader.read();
    await source.stalled;
    await reader.cancel();
    expect((await read).done).toBe(true);
    expect(source.closed).toBe(true);
  });
});

it("wipes the layer's secret as soon as the cipher has it", async () => {
  const { descriptor, ciphertext } = craftLayer(Buffer.from("x"));
  const sizes = await wipedSizes(() => decryptLayer(ciphertext, { descriptor, keys: [openKey()] }));
  expect(sizes).toEqual(expect.arrayContaining([32, 16]));
});

describe("decryptLayerBytes", () => {
  it("opens what encryptLayerBytes wrote, and nothing that was changed", async () => {
    const plain = pattern(100_000);
    const encrypted = await encryptLayerBytes(plain, {
      descriptor: { mediaType: TAR },
      recipients: [plainRecipient()],
    });
    const { bytes, descriptor } = encrypted;
    expect(descriptor.digest).toBe(sha256(bytes));
    expect(descriptor.mediaType).toBe(TAR + "+encrypted");
    const opened = await decryptLayerBytes(bytes, { descriptor, keys: [openKey()] });
    expect(Buffer.compare(opened.bytes, plain)).toBe(0);
    expect(opened.descriptor).toMatchObject({ mediaType: TAR, digest: sha256(plain) });
    expect(opened.opening.scheme).toBe(openKey().scheme);

    bytes[50_000] = (bytes[50_000] ?? 0) ^ 1;
    const unchecked = { mediaType: descriptor.mediaType, annotations: descriptor.annotations };
    const changed = decryptLayerBytes(bytes, { descriptor: unchecked, keys: [openKey()] });
    await expectCode(changed, "HMAC_MISMATCH");
  });
});
