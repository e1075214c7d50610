import { createCipheriv, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { encryptImage, rotateImage } from "../../src/image/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { expectCode } from "../support/codes.js";
import {
  layer,
  layoutOf,
  readBlob,
  readManifest,
  snapshot,
  temporaryDirectories,
} from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";
import { encrypt } from "../support/operations.js";
import { watchedLayout } from "../support/watched-layout.js";

const directory = temporaryDirectories();

/** Of a key provider: wrapped keys that take up `size` bytes each. */
function large(name: string, size: number, calls: string[] = []): Recipient {
  return {
    scheme: `provider.${name}`,
    wrap(secret) {
      calls.push(Buffer.from(secret).toString("base64"));
      return Promise.resolve(Buffer.concat([secret, randomBytes(size - secret.byteLength)]));
    },
  };
}

async function twoLayers(): Promise<string> {
  const path = directory();
  await layoutOf(path, [await layer("a"), await layer("b")]);
  return path;
}

describe("recipients that there is no room for are refused before any layer is read", () => {
  /** In base64, one takes up 9868 characters and a comma in each of two layers. */
  const FIT = 212;
  const recipients = Array.from({ length: 250 }, (_, i) => large(`p${String(i % 4)}`, 7400));

  it("by encryption, with the number that there is room for", async () => {
    const path = await twoLayers();
    const before = await snapshot(path);
    const { source, destination, calls } = await watchedLayout(path);
    const error = await expectCode(
      encryptImage(source, destination, { recipients }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 212 of the 250 recipients");
    expect(calls.every((call) => call.startsWith("read application/vnd.oci.image.manifest"))).toBe(
      true,
    );
    expect(await snapshot(path)).toEqual(before);
    await encrypt(path, directory(), { recipients: recipients.slice(0, FIT) });
    const more = encrypt(path, directory(), { recipients: recipients.slice(0, FIT + 1) });
    await expectCode(more, "MANIFEST_TOO_LARGE");
  });

  it("by rotation", async () => {
    const [plain, path, to] = [await twoLayers(), directory(), directory()];
    await encrypt(plain, path);
    const { source, calls } = await watchedLayout(path);
    const { destination, calls: written } = await watchedLayout(to);
    const error = await expectCode(
      rotateImage(source, destination, { keys: [openKey()], recipients }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 212 of the 250 recipients");
    expect(calls).toHaveLength(1);
    expect(written).toEqual([]);
  });

  it("by the length of one list, too", async () => {
    const path = await twoLayers();
    const { source, destination, calls } = await watchedLayout(path);
    const many = Array.from({ length: 1025 }, () => plainRecipient());
    const result = encryptImage(source, destination, { recipients: many });
    await expectCode(result, "ANNOTATION_TOO_LARGE");
    expect(calls).toHaveLength(1);
  });
});

describe("a wrapped key only to see its size", () => {
  it("is not asked for where there is room in any case", async () => {
    const path = await twoLayers();
    const calls: string[] = [];
    await encrypt(path, directory(), { recipients: [large("counted", 1000, calls)] });
    expect(calls).toHaveLength(2);
  });

  it("is of no layer's key", async () => {
    const [path, to] = [await twoLayers(), directory()];
    const calls: string[] = [];
    const small = Array.from({ length: 250 }, (_, i) =>
      i === 0 ? large("counted", 1000, calls) : plainRecipient(`provider.p${String(i)}`),
    );
    const { image } = await encrypt(path, to, { recipients: small });
    expect(calls).toHaveLength(3);
    const [rehearsed, ...used] = calls.map((call) => {
      const json = Buffer.from(call, "base64").toString();
      return JSON.parse(json) as { symkey: string; cipheroptions: { nonce: string } };
    });
    const { layers } = await readManifest(to, image);
    for (const { digest } of layers) {
      const ciphertext = await readBlob(to, { digest });
      const opens = ({ symkey, cipheroptions: { nonce } }: (typeof used)[number]): boolean => {
        const [k, n] = [Buffer.from(symkey, "base64"), Buffer.from(nonce, "base64")];
        const plain = createCipheriv("aes-256-ctr", k, n).update(ciphertext);
        return plain.subarray(0, 2).toString("hex") === "1f8b";
      };
      expect(used.some(opens)).toBe(true);
      expect(opens(rehearsed!)).toBe(false);
    }
  });
});
