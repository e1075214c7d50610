import { inspect } from "node:util";
import { createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { type ErrorCode, OcicryptError } from "../../src/errors.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { encryptLayer, findSame, reencrypt } from "../../src/layer/encrypt.js";
import type { Descriptor, DescriptorLike } from "../../src/spec/descriptor.js";
import { createEncryptor } from "../../src/cipher/aes-ctr-hmac.js";
import { chunked, collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import { ENC, plainRecipient, TAR } from "../support/layers.js";
import { isWebEngine } from "../support/engine.js";
import { drain, rethrow, stalling, watched } from "../support/sources.js";
import { sha256 } from "../support/vectors.js";
import { wipedSizes } from "../support/wipes.js";

const KIB = 1024;
const recipients = [plainRecipient()];
const pattern = (size: number): Buffer => Buffer.alloc(size, "a plain layer, ");

interface Written {
  privateText: string;
  key: Buffer;
  nonce: Buffer;
  digest: string;
  publicText: string;
  hmac: Buffer;
}

/** The annotations of a layer that {@link plainRecipient} can read. */
function readWritten(descriptor: DescriptorLike, scheme = "test"): Written {
  const text = (name: string): string =>
    Buffer.from(descriptor.annotations![`${ENC}${name}`]!, "base64").toString();
  const privateText = text(`keys.${scheme}`);
  const publicText = text("pubopts");
  const secret = JSON.parse(privateText) as {
    symkey: string;
    digest: string;
    cipheroptions: { nonce: string };
  };
  const { hmac } = JSON.parse(publicText) as { hmac: string };
  return {
    privateText,
    key: Buffer.from(secret.symkey, "base64"),
    nonce: Buffer.from(secret.cipheroptions.nonce, "base64"),
    digest: secret.digest,
    publicText,
    hmac: Buffer.from(hmac, "base64"),
  };
}

/** A descriptor from JSON that nobody has checked. */
const untyped = (members: object): DescriptorLike => ({ mediaType: TAR, ...members });

describe("encryptLayer", () => {
  it.each([0, 1, 15, 16, 17, 65535, 65536, 65537, 256 * KIB, 1024 * KIB + 1])(
    "encrypts %i bytes in the documented format, from chunks of any size",
    async (size) => {
      const plaintext = pattern(size);
      const descriptor = deepFreeze({ mediaType: TAR, digest: sha256(plaintext), size });
      const sources = [plaintext, ...[7919, 65536, 65537].map((n) => chunked(plaintext, n))];
      for (const source of sources) {
        const layer = encryptLayer(source, { descriptor, recipients: deepFreeze(recipients) });
        const ciphertext = await collect(layer.stream);
        const result = await layer.finalize();
        const written = readWritten(result);
        const decipher = createDecipheriv("aes-256-ctr", written.key, written.nonce);
        expect(decipher.update(ciphertext).equals(plaintext)).toBe(true);
        expect(written.hmac).toEqual(createHmac("sha256", written.key).update(ciphertext).digest());
        expect(written.digest).toBe(descriptor.digest);
        expect(result).toEqual({
          mediaType: `${TAR}+encrypted`,
          digest: sha256(ciphertext),
          size,
          annotations: expect.anything() as unknown,
        });
      }
    },
  );

  it("writes every member in Go's order, and nothing else", async () => {
    const descriptor = { mediaType: TAR, digest: sha256(Buffer.from("x")) };
    const layer = encryptLayer(Buffer.from("x"), { descriptor, recipients });
    await collect(layer.stream);
    const { privateText, publicText } = readWritten(await layer.finalize());
    const b64 = (length: number): string => `[A-Za-z0-9+/]{${String(length)}}`;
    expect(privateText).toMatch(
      new RegExp(
        `^{"symkey":"${b64(43)}=","digest":"${descriptor.digest}","cipheroptions":{"nonce":"${b64(22)}=="}}$`,
      ),
    );
    expect(privateText).toHaveLength(193);
    expect(publicText).toMatch(
      new RegExp(`^{"cipher":"AES_256_CTR_HMAC_SHA256","hmac":"${b64(43)}=","cipheroptions":{}}$`),
    );
  });

  it.each([[undefined], [""]])("records no digest if the descriptor has %j", async (digest) => {
    const layer = encryptLayer(Buffer.from("x"), {
      descriptor: { mediaType: TAR, digest },
      recipients,
    });
    await collect(layer.stream);
    const written = readWritten(await layer.finalize());
    expect(written.digest).toBe("");
    expect(written.privateText).toHaveLength(122);
  });

  it("uses a new key and nonce for each layer", async () => {
    const values: string[] = [];
    for (let i = 0; i < 10; i++) {
      const layer = encryptLayer(Buffer.alloc(64), { descriptor: { mediaType: TAR }, recipients });
      const ciphertext = await collect(layer.stream);
      const { key, nonce } = readWritten(await layer.finalize());
      values.push(ciphertext.toString("hex"), key.toString("hex"), nonce.toString("hex"));
    }
    expect(new Set(values).size).toBe(30);
  });

  it("wraps the same secret for each recipient, in their order", async () => {
    const layer = encryptLayer(Buffer.from("x"), {
      descriptor: { mediaType: TAR },
      recipients: [plainRecipient("b"), plainRecipient("a"), plainRecipient("b")],
    });
    await collect(layer.stream);
    const { annotations } = await layer.finalize();
    expect(Object.keys(annotations!)).toEqual([`${ENC}keys.b`, `${ENC}keys.a`, `${ENC}pubopts`]);
    const one = annotations![`${ENC}keys.a`]!;
    expect(annotations![`${ENC}keys.b`]).toBe(`${one},${one}`);
  });

  it("keeps the other members of the descriptor, and does not change the caller's", async () => {
    const plaintext = pattern(10);
    const descriptor = deepFreeze({
      mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
      digest: sha256(plaintext),
      size: 10,
      data: plaintext.toString("base64"),
      urls: ["https://example.com/"],
      annotations: { "com.example.a": "b" },
      artifactType: "text/x",
      platform: { architecture: "amd64", os: "linux" },
      "com.example.unknown": { deep: [1] },
    });
    const copy = Buffer.from(plaintext);
    const layer = encryptLayer(plaintext, { descriptor, recipients: deepFreeze(recipients) });
    await collect(layer.stream);
    const result: Descriptor = await layer.finalize();
    expect(result).toEqual({
      mediaType: `${TAR}+gzip+encrypted`,
      digest: result.digest,
      size: 10,
      annotations: {
        "com.example.a": "b",
        [`${ENC}keys.test`]: expect.any(String) as unknown,
        [`${ENC}pubopts`]: expect.any(String) as unknown,
      },
      artifactType: "text/x",
      platform: { architecture: "amd64", os: "linux" },
      "com.example.unknown": { deep: [1] },
    });
    expect(plaintext.equals(copy)).toBe(true);
  });

  it("returns the same descriptor each time", async () => {
    const layer = encryptLayer(pattern(5), { descriptor: { mediaType: TAR }, recipients });
    await collect(layer.stream);
    const first = await layer.finalize();
    first.annotations!["com.example.changed"] = "by the caller";
    expect((await layer.finalize()).annotations).not.toHaveProperty(["com.example.changed"]);
  });

  it.each<[string, (bytes: Buffer) => AsyncIterable<Uint8Array>]>([
    ["a Node stream", (bytes) => Readable.from([bytes.subarray(0, 50), bytes.subarray(50)])],
    ["a web stream", (bytes) => new Blob([bytes]).stream()],
    ["a fetch body", (bytes) => new Response(bytes).body!],
  ])("reads from %s", async (_, open) => {
    const plaintext = pattern(200_000);
    const descriptor = { mediaType: TAR, digest: sha256(plaintext) };
    const layer = encryptLayer(open(plaintext), { descriptor, recipients });
    expect(await collect(layer.stream)).toHaveLength(200_000);
    expect((await layer.finalize()).size).toBe(200_000);
  });

  it.each<[string, DescriptorLike, ErrorCode]>([
    ["an encrypted type", { mediaType: `${TAR}+encrypted` }, "ALREADY_ENCRYPTED"],
    [
      "wrapped keys",
      { mediaType: TAR, annotations: { [`${ENC}keys.jwe`]: "x" } },
      "ALREADY_ENCRYPTED",
    ],
    [
      "wrapped keys of an unknown provider",
      { mediaType: TAR, annotations: { [`${ENC}keys.provider.x`]: "" } },
      "ALREADY_ENCRYPTED",
    ],
    ["an invalid digest", { mediaType: TAR, digest: "sha256:" }, "DESCRIPTOR_INVALID"],
    ["half a size", { mediaType: TAR, size: 0.5 }, "DESCRIPTOR_INVALID"],
    ["an empty type", { mediaType: "" }, "DESCRIPTOR_INVALID"],
    ["no type", untyped({ mediaType: null }), "DESCRIPTOR_INVALID"],
  ])("rejects %s immediately", async (_, descriptor, code) => {
    const source = watched([]);
    await expectCode(() => encryptLayer(source, { descriptor, recipients }), code);
    expect(source.pulled).toBe(0);
  });

  it("rejects an empty list of recipients", async () => {
    const options = { descriptor: { mediaType: TAR }, recipients: [] };
    await expectCode(() => encryptLayer(Buffer.alloc(1), options), "NO_RECIPIENTS");
  });

  it.each(["", "JWE", "provider.a b", "a,b", "a.", ".a", "a/b", "jwe\n"])(
    "rejects %j as the name of a scheme",
    (scheme) => {
      const options = { descriptor: { mediaType: TAR }, recipients: [plainRecipient(scheme)] };
      expect(() => encryptLayer(Buffer.alloc(1), options)).toThrow(TypeError);
    },
  );

  const plaintext = pattern(100_000);
  it.each<[string, DescriptorLike, ErrorCode]>([
    ["another digest", { mediaType: TAR, digest: sha256(pattern(1)) }, "BLOB_DIGEST_MISMATCH"],
    ["a larger size", { mediaType: TAR, size: 100_001 }, "BLOB_SIZE_MISMATCH"],
    ["a smaller size", { mediaType: TAR, size: 99_999 }, "BLOB_SIZE_MISMATCH"],
  ])("fails if the source does not match its descriptor: %s", async (_, descriptor, code) => {
    const layer = encryptLayer(chunked(plaintext, 30_000), { descriptor, recipients });
    await expectCode(collect(layer.stream), code);
    await expectCode(layer.finalize(), "NOT_FINISHED");
  });

  it("finishes only after its stream", async () => {
    const layer = encryptLayer(plaintext, { descriptor: { mediaType: TAR }, recipients });
    await expectCode(layer.finalize(), "NOT_FINISHED");
    const reader = layer.stream.getReader();
    await reader.read();
    await expectCode(layer.finalize(), "NOT_FINISHED");
    await reader.cancel();
    await expectCode(layer.finalize(), "NOT_FINISHED");
  });

  it("fails with the source's error", async () => {
    const reason = new Error("disk");
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield* chunked(plaintext, 50_000);
      throw reason;
    }
    const layer = encryptLayer(failing(), { descriptor: { mediaType: TAR }, recipients });
    await expect(collect(layer.stream)).rejects.toBe(reason);
    await expectCode(layer.finalize(), "NOT_FINISHED");
  });

  it("reports the encrypted bytes in order up to the last", async () => {
    const reported: number[] = [];
    const layer = encryptLayer(chunked(plaintext, 40_000), {
      descriptor: { mediaType: TAR },
      recipients,
      onProgress: (bytes) => reported.push(bytes),
    });
    await collect(layer.stream);
    expect(reported).toEqual([40_000, 80_000, 100_000]);
  });

  it("reads only as far as its reader", async () => {
    const source = watched(Array.from({ length: 50 }, () => pattern(64 * KIB)));
    const layer = encryptLayer(source, { descriptor: { mediaType: TAR }, recipients });
    await turn();
    expect(source.pulled).toBe(0);
    const reader = layer.stream.getReader();
    for (let read = 1; read <= 10; read++) {
      expect((await reader.read()).value).toHaveLength(64 * KIB);
      await turn();
      expect(source.pulled).toBe(read);
    }
    await reader.cancel();
    expect(source.closed).toBe(true);
  });
});

describe("encryptLayer, when a recipient fails", () => {
  const failing = (reason: unknown): Recipient => ({
    scheme: "test",
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as others may do
    wrap: () => Promise.reject(reason),
  });

  it.each<[string, unknown, ErrorCode]>([
    ["an error of its own", new Error("no network"), "WRAP_FAILED"],
    ["no error at all", "just text", "WRAP_FAILED"],
    ["an error of the library", new OcicryptError("KEY_EXPIRED", "too late"), "KEY_EXPIRED"],
  ])("emits no byte: %s", async (_, reason, code) => {
    const source = watched([pattern(10)]);
    const layer = encryptLayer(source, {
      descriptor: { mediaType: TAR },
      recipients: [plainRecipient(), failing(reason), plainRecipient("other")],
    });
    const { bytes, error } = await drain(layer.stream);
    const found = await expectCode(() => rethrow(error), code);
    expect(found === reason || found.cause === reason).toBe(true);
    expect(bytes).toHaveLength(0);
    expect(source.pulled).toBe(0);
    await expectCode(layer.finalize(), "NOT_FINISHED");
  });

  it.each(["utf8", "base64", "hex"] as const)(
    "hides the secret that the error quotes in %s",
    async (encoding) => {
      let secret = "";
      const recipient: Recipient = {
        scheme: "test",
        wrap(bytes) {
          secret = Buffer.from(bytes).toString(encoding);
          const cause = Object.assign(new Error("refused"), { body: secret });
          return Promise.reject(new OcicryptError("WRAP_FAILED", `not ${secret}`, { cause }));
        },
      };
      const options = { descriptor: { mediaType: TAR }, recipients: [recipient] };
      const error = await expectCode(collect(encryptLayer(pattern(1), options).stream), "WRAP_FAILED"); // prettier-ignore
      expect(error.message).toBe("not [redacted]");
      const shown = inspect(error, { depth: 10 });
      expect(shown).toContain("refused");
      expect(shown).not.toContain(secret.slice(12, 24));
    },
  );

  it("emits no byte if it throws instead of rejecting", async () => {
    const recipient: Recipient = {
      scheme: "test",
      wrap: () => {
        throw new RangeError("at once");
      },
    };
    const options = { descriptor: { mediaType: TAR }, recipients: [recipient] };
    await expectCode(collect(encryptLayer(pattern(1), options).stream), "WRAP_FAILED");
  });

  it("emits no byte for an empty wrapped key", async () => {
    const recipient = { scheme: "test", wrap: () => Promise.resolve(new Uint8Array(0)) };
    const options = { descriptor: { mediaType: TAR }, recipients: [plainRecipient(), recipient] };
    await expectCode(collect(encryptLayer(pattern(1), options).stream), "WRAP_FAILED");
  });

  it("does not leave the secret with other recipients", async () => {
    const kept: Uint8Array[] = [];
    const keeping: Recipient = {
      scheme: "test",
      async wrap(privateOptions) {
        kept.push(privateOptions);
        await turn();
        return Uint8Array.of(1);
      },
    };
    for (const recipients of [[keeping], [keeping, failing(new Error("no network"))]]) {
      await drain(encryptLayer(pattern(1), { descriptor: { mediaType: TAR }, recipients }).stream);
    }
    // One that still runs when another has failed has its copy until it ends.
    await turn();
    await turn();
    expect(kept).toHaveLength(2);
    expect(kept.every((secret) => secret.every((byte) => byte === 0))).toBe(true);
  });
});

describe("encryptLayer, aborted", () => {
  const reason = new Error("enough");
  const descriptor = { mediaType: TAR };

  it("before the start, reads nothing", async () => {
    const source = watched([pattern(1)]);
    const signal = AbortSignal.abort(reason);
    const layer = encryptLayer(source, { descriptor, recipients, signal });
    await expect(collect(layer.stream)).rejects.toBe(reason);
    expect(source.pulled).toBe(0);
    await expectCode(layer.finalize(), "NOT_FINISHED");
  });

  it("while the source stalls, fails and closes the source", async () => {
    const source = stalling([pattern(70_000)]);
    const controller = new AbortController();
    const { signal } = controller;
    const draining = drain(encryptLayer(source, { descriptor, recipients, signal }).stream);
    await source.stalled;
    controller.abort(reason);
    const { bytes, error } = await draining;
    expect(error).toBe(reason);
    expect(bytes).toHaveLength(70_000);
    expect(source.closed).toBe(true);
  });

  it("passes a signal to its recipients", async () => {
    const controller = new AbortController();
    const waiting: Recipient = {
      scheme: "test",
      wrap: (_, options) =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener("abort", () => {
            reject(options.signal?.reason as Error);
          });
        }),
    };
    const { signal } = controller;
    const layer = encryptLayer(pattern(1), { descriptor, recipients: [waiting], signal });
    const collected = collect(layer.stream);
    await turn();
    controller.abort(reason);
    await expect(collected).rejects.toBe(reason);
  });

  it.each([
    ["Node's AbortError", new DOMException("The operation was aborted", "AbortError")],
    ["an error of the library", new OcicryptError("PROVIDER_FAILED", "it was killed")],
  ])("rejects with the reason although a recipient throws %s", async (_, thrown) => {
    const controller = new AbortController();
    const recipient: Recipient = {
      scheme: "test",
      wrap: () => {
        controller.abort(reason);
        return Promise.reject(thrown);
      },
    };
    const { signal } = controller;
    const layer = encryptLayer(pattern(1), { descriptor, recipients: [recipient], signal });
    await expect(collect(layer.stream)).rejects.toBe(reason);
  });

  it("cancelled while the source stalls, resolves and closes the source", async () => {
    const source = stalling([]);
    const reader = encryptLayer(source, { descriptor, recipients }).stream.getReader();
    const read = reader.read();
    await source.stalled;
    await reader.cancel();
    expect((await read).done).toBe(true);
    expect(source.closed).toBe(true);
  });
});

// The engine for browsers knows nothing of these warnings.
it.skipIf(isWebEngine)(
  "wraps the key for many recipients without a warning of Node.js about listeners",
  async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error): unknown => warnings.push(warning);
    process.on("warning", listen);
    try {
      const listening: Recipient = {
        scheme: "test",
        wrap(secret, { signal } = {}) {
          signal?.addEventListener("abort", () => undefined);
          return Promise.resolve(Uint8Array.from(secret));
        },
      };
      const descriptor = { mediaType: TAR };
      const many = Array.from({ length: 50 }, () => listening);
      const { signal } = new AbortController();
      await drain(encryptLayer(pattern(9), { descriptor, recipients: many, signal }).stream);
      await turn();
      expect(warnings).toEqual([]);
    } finally {
      process.off("warning", listen);
    }
  },
);

describe("secrets", () => {
  const options = { descriptor: { mediaType: TAR }, recipients: [plainRecipient()] };

  it("are wiped once the layer is encrypted", async () => {
    const sizes = await wipedSizes(() => drain(encryptLayer(pattern(9), options).stream));
    expect(sizes).toEqual(expect.arrayContaining([32, 16]));
  });

  it("are also wiped as JSON: with a binding, without it, and in the recipient's copy", async () => {
    const sizes = await wipedSizes(() => drain(encryptLayer(pattern(9), options).stream));
    expect(sizes.filter((size) => size > 100 && size < 1000)).toHaveLength(3);
  });
});

it("passes a signal to recipients", async () => {
  const recipient = plainRecipient();
  const wrap = vi.spyOn(recipient, "wrap");
  const { signal } = new AbortController();
  const descriptor = { mediaType: TAR };
  await drain(encryptLayer(pattern(9), { descriptor, recipients: [recipient], signal }).stream);
  expect(wrap.mock.calls[0]?.[1]?.signal).toBeInstanceOf(AbortSignal);
});

// The guard against reusing a keystream compares blocks; parts of a file end anywhere in them.
it.each([1, 50_001, 65_536, 1_048_577])("reads parts of %d bytes", async (size) => {
  const plaintext = randomBytes(size < 100 ? 70_001 : 3 * 1024 * 1024 + 7);
  const secret = { symkey: randomBytes(32), nonce: randomBytes(16), digest: "" };
  const encryptor = createEncryptor(secret);
  const ciphertext = Buffer.from(await encryptor.update(plaintext));
  const candidate = { secret, digest: sha256(ciphertext), hmac: await encryptor.finish() };
  const descriptor = { digest: sha256(plaintext), size: plaintext.byteLength };

  const match = await findSame(chunked(plaintext, size), descriptor, [candidate]);
  const again = await collect(reencrypt(chunked(plaintext, size), match!));
  expect(again.equals(ciphertext)).toBe(true);
});
