import { createDecipheriv, createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { addRecipients, decryptLayer, encryptLayer } from "../../../src/index.js";
import { collect } from "../../support/bytes.js";
import type { Descriptor } from "../../../src/index.js";
import {
  provider,
  type KeyProvider,
  type KeyProviderRequest,
} from "../../../src/keywrap/provider/index.js";

const SECRET: Uint8Array = Buffer.from("the secret of a layer");

/** Keeps what it wrapped in memory; its wrapped keys are numbers. */
function memoryProvider(): KeyProvider & { requests: KeyProviderRequest[] } {
  const kept: Buffer[] = [];
  const requests: KeyProviderRequest[] = [];
  return {
    requests,
    wrapKey(request) {
      requests.push(request);
      kept.push(Buffer.from(request.bytes));
      return Promise.resolve(Buffer.from(`number ${String(kept.length - 1)}`));
    },
    unwrapKey(request) {
      requests.push(request);
      const secret = kept[Number(Buffer.from(request.bytes).toString().slice(7))];
      return Promise.resolve(secret === undefined ? null : Buffer.from(secret));
    },
  };
}

/** A provider that does the same for both operations. */
function always(answer: () => Promise<Uint8Array | null>): KeyProvider {
  return { wrapKey: answer as () => Promise<Uint8Array>, unwrapKey: answer };
}

describe("a provider in code", () => {
  it("wraps and unwraps", async () => {
    const memory = memoryProvider();
    const recipient = provider.recipient("kms", { provider: memory });
    const key = provider.key("kms", { provider: memory });
    expect([recipient.scheme, key.scheme, key.label]).toEqual([
      "provider.kms",
      "provider.kms",
      "provider:kms",
    ]);
    const wrapped = await recipient.wrap(SECRET);
    expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
  });

  it.each([
    [undefined, "Enabled"],
    ["", ""],
    ["keyid=kbs:///a/b/c::algorithm=A256GCM", "keyid=kbs:///a/b/c::algorithm=A256GCM"],
  ])("gets the parameters %j", async (params, expected) => {
    const memory = memoryProvider();
    await provider.recipient("kms", { provider: memory, params }).wrap(SECRET);
    await provider.key("kms", { provider: memory, params }).unwrap(Buffer.from("number 0"));
    expect(memory.requests.map((request) => request.params)).toEqual([[expected], [expected]]);
  });

  it("says that a key is not its own", async () => {
    const key = provider.key("kms", { provider: memoryProvider(), label: "the vault" });
    const wrapped = Buffer.from("number 7");
    expect(await key.unwrap(wrapped)).toBeNull();
    expect(key.explain!(wrapped)).toBe('key provider "kms" reports that its keys do not match');
    expect(key.label).toBe("the vault");
  });

  it("needs no configuration", async () => {
    vi.stubEnv("OCICRYPT_KEYPROVIDER_CONFIG", "/no/such/file");
    await provider.recipient("kms", { provider: memoryProvider() }).wrap(SECRET);
    vi.unstubAllEnvs();
  });

  it.each<[string, () => Promise<Uint8Array | null>, string, RegExp]>([
    [
      "fails",
      () => Promise.reject(new Error("token \u001b[1mexpired\nnow")),
      "PROVIDER_FAILED",
      /^key provider "kms" failed: token \[1mexpired now$/,
    ],
    [
      "throws no error",
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it may, in code of others
      () => Promise.reject("x"),
      "PROVIDER_FAILED",
      /unknown/,
    ],
    [
      "throws at once",
      () => {
        throw new Error("at once");
      },
      "PROVIDER_FAILED",
      /at once$/,
    ],
    [
      "returns nothing",
      () => Promise.resolve(Buffer.alloc(0)),
      "PROVIDER_INVALID_RESPONSE",
      /empty/,
    ],
    ["never answers", () => new Promise(() => undefined), "PROVIDER_TIMEOUT", /within 50 ms$/],
  ])("that %s", async (_what, answer, code, message) => {
    const options = { provider: always(answer), timeout: 50 };
    const expected = { code, message: expect.stringMatching(message) as string };
    await expect(provider.recipient("kms", options).wrap(SECRET)).rejects.toMatchObject(expected);
    await expect(provider.key("kms", options).unwrap(SECRET)).rejects.toMatchObject(expected);
  });

  it("must not return an empty wrapped key", async () => {
    const none = always(() => Promise.resolve(null));
    await expect(provider.recipient("kms", { provider: none }).wrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_INVALID_RESPONSE",
    });
  });

  it("is aborted after its timeout, or when its caller aborts", async () => {
    const reasons: unknown[] = [];
    const waiting: KeyProvider["unwrapKey"] = ({ signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          reasons.push(signal.reason);
          reject(new Error("stopped"));
        });
      });
    const options = { provider: { wrapKey: vi.fn(), unwrapKey: waiting }, timeout: 50 };
    const key = provider.key("kms", options);
    await expect(key.unwrap(SECRET)).rejects.toMatchObject({ code: "PROVIDER_TIMEOUT" });
    const controller = new AbortController();
    const unwrapping = key.unwrap(SECRET, { signal: controller.signal });
    controller.abort(new Error("gone"));
    await expect(unwrapping).rejects.toThrow("gone");
    expect(reasons).toEqual([
      expect.objectContaining({ code: "PROVIDER_TIMEOUT" }),
      expect.objectContaining({ message: "gone" }),
    ]);
  });

  it.each(["", "a b", "a,b", "a:b", "a\nb", "x".repeat(201)])("cannot be called %j", (name) => {
    const options = { provider: memoryProvider() };
    expect(() => provider.recipient(name, options)).toThrow(TypeError);
    expect(() => provider.key(name, options)).toThrow(TypeError);
  });

  it.each([0, -1, NaN, Infinity, 2 ** 31])("cannot have a timeout of %d ms", (timeout) => {
    const options = { provider: memoryProvider(), timeout };
    expect(() => provider.recipient("kms", options)).toThrow(RangeError);
  });
});

describe("layers", () => {
  const plain = randomBytes(1000);
  const layer = {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: `sha256:${createHash("sha256").update(plain).digest("hex")}`,
    size: plain.byteLength,
  };

  it("are encrypted, given another recipient and decrypted", async () => {
    const [first, second] = [memoryProvider(), memoryProvider()];
    const recipients = [provider.recipient("first", { provider: first })];
    const encrypted = encryptLayer(new Blob([plain]).stream(), {
      descriptor: layer,
      recipients,
    });
    const cipher = await collect(encrypted.stream);
    const descriptor = await addRecipients(await encrypted.finalize(), {
      keys: [provider.key("first", { provider: first })],
      recipients: [provider.recipient("second", { provider: second, params: "x" })],
    });
    expect(descriptor.annotations).toMatchObject({
      "org.opencontainers.image.enc.keys.provider.first":
        Buffer.from("number 0").toString("base64"),
      "org.opencontainers.image.enc.keys.provider.second":
        Buffer.from("number 0").toString("base64"),
    });
    for (const [name, memory] of Object.entries({ first, second })) {
      const keys = [provider.key(name, { provider: memory })];
      const decrypted = await decryptLayer(new Blob([cipher]).stream(), { descriptor, keys });
      expect(await collect(decrypted.stream)).toEqual(plain);
    }
  });
});

describe("an image that Go encrypted with a command", () => {
  const layout = fileURLToPath(
    new URL("../../../vectors/peers/layouts/ocicrypt-1.3.2/keyprovider-cmd", import.meta.url),
  );
  const blob = (digest: string): Buffer =>
    readFileSync(join(layout, "blobs", digest.replace(":", "/")));
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
    manifests: [Descriptor];
  };
  const manifest = JSON.parse(blob(index.manifests[0].digest).toString()) as {
    config: Descriptor;
    layers: Descriptor[];
  };
  const config = JSON.parse(blob(manifest.config.digest).toString()) as {
    rootfs: { diff_ids: string[] };
  };

  /** As vectors/peers/README.md describes it. */
  const spike: KeyProvider = {
    wrapKey: () => Promise.reject(new Error("not needed")),
    unwrapKey({ bytes }) {
      const packet = JSON.parse(Buffer.from(bytes).toString()) as Record<string, string>;
      const sealed = Buffer.from(packet.wrapped_key!, "base64");
      const aesKey = createHash("sha256").update("spike").digest();
      const iv = Buffer.from(packet.iv!, "base64");
      const decipher = createDecipheriv("aes-256-gcm", aesKey, iv);
      decipher.setAuthTag(sealed.subarray(-16));
      const opened = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
      return Promise.resolve(opened);
    },
  };

  it("has four layers", () => {
    expect([manifest.layers.length, config.rootfs.diff_ids.length]).toEqual([4, 4]);
  });

  it.each(manifest.layers.map((descriptor, number) => [number, descriptor] as const))(
    "opens: layer %i",
    async (number, descriptor) => {
      const keys = [provider.key("spike", { provider: spike })];
      const decrypted = await decryptLayer(new Blob([blob(descriptor.digest)]).stream(), {
        descriptor,
        keys,
      });
      const tar = decrypted.stream.pipeThrough(new DecompressionStream("gzip"));
      const diffId = createHash("sha256")
        .update(await collect(tar))
        .digest("hex");
      expect(`sha256:${diffId}`).toBe(config.rootfs.diff_ids[number]);
    },
  );
});
