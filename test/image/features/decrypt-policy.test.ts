import { describe, expect, it } from "vitest";
import type { DecryptImageOptions } from "../../../src/image/decrypt.js";
import type { LayerSelection } from "../../../src/image/manifests/select-layers.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import { expectCode } from "../../support/codes.js";
import {
  createLayout,
  forPlatform,
  layer,
  layerOf,
  layoutOf,
  MANIFEST,
  multiPlatform,
  putAttestation,
  putIndex,
  putManifest,
  putText,
  readEntries,
  readIndexEntries,
  readManifest,
  snapshot,
  TAR_GZIP,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
} from "../../support/image.js";
import { ENC, openKey, plainRecipient } from "../../support/layers.js";
import { decrypt, encrypt } from "../../support/operations.js";
import { vectorFile } from "../../support/vectors.js";

const directory = temporaryDirectories();

async function some(count: number): Promise<Layer[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => layer(`file-${String(i)}`)));
}

/** An image of three layers, encrypted in part. */
async function partly(layers: readonly number[]): Promise<string> {
  const [plain, path] = [directory(), directory()];
  await layoutOf(plain, await some(3));
  await encrypt(plain, path, { layers });
  return path;
}

async function allow(path: string, policy: Partial<DecryptImageOptions>): Promise<number> {
  return (await decrypt(path, directory(), policy)).layers.length;
}

/** Refused before anything is written, and before any key is asked. */
async function refuse(
  path: string,
  policy: Partial<DecryptImageOptions>,
  said: string,
): Promise<void> {
  const parent = directory();
  let isAsked = false;
  const key = {
    scheme: "test",
    unwrap: () => {
      isAsked = true;
      return Promise.resolve(null);
    },
  };
  const run = decrypt(path, `${parent}/new`, { keys: [key], ...policy });
  expect((await expectCode(run, "POLICY_VIOLATION")).message).toContain(said);
  expect(isAsked).toBe(false);
  expect(await snapshot(parent)).toEqual({});
}

describe("requireEncrypted", () => {
  it("allows an entirely encrypted image", async () => {
    expect(await allow(await partly([0, 1, 2]), { requireEncrypted: true })).toBe(3);
  });

  it.each<[string, LayerSelection]>([
    ["layers", { layers: [{ from: -2, to: -1 }] }],
    ["a type, as it is when plain", { layers: [1, 2], mediaTypes: [TAR_GZIP] }],
  ])("allows plain layers in addition to %s that it names", async (_, requireEncrypted) => {
    expect(await allow(await partly([1, 2]), { requireEncrypted })).toBe(2);
  });

  it("does not depend on the layers to decrypt", async () => {
    const path = await partly([0, 1, 2]);
    expect(await allow(path, { requireEncrypted: true, layers: [1] })).toBe(1);
    const other = await partly([0, 1]);
    await refuse(other, { requireEncrypted: true, layers: [1] }, "layer 2");
  });

  it("is off by default", async () => {
    expect(await allow(await partly([0]), { requireEncrypted: false })).toBe(1);
    expect(await allow(await partly([0]), {})).toBe(1);
  });

  it.each<[string, boolean | LayerSelection, string]>([
    ["one of all layers", true, "layer 0"],
    ["one of those that are named", { layers: [1, 0] }, "layer 0"],
    ["one of a range", { layers: [{ from: 0, to: -1 }] }, "layer 0"],
    ["one of a type", { mediaTypes: [TAR_GZIP] }, "layer 0"],
  ])("rejects a plain layer: %s", async (_, requireEncrypted, said) => {
    await refuse(await partly([1, 2]), { requireEncrypted }, said);
  });

  it("rejects a plain image", async () => {
    const path = directory();
    await layoutOf(path, await some(1));
    await refuse(path, { requireEncrypted: true }, "layer 0 is not encrypted");
  });

  it("rejects an image without the layers that it names", async () => {
    const path = await partly([0, 1, 2]);
    const run = decrypt(path, directory(), { requireEncrypted: { layers: [3] } });
    await expectCode(run, "NOTHING_SELECTED");
    const nothing = decrypt(path, directory(), { requireEncrypted: { layers: [] } });
    await expectCode(nothing, "NOTHING_SELECTED");
  });

  it.each([true, {}])("rejects an image without layers: %j", async (requireEncrypted) => {
    const path = directory();
    await layoutOf(path, []);
    await refuse(path, { requireEncrypted }, "no layers");
    const empty = await createLayout(directory());
    await writeIndex(empty, [await putIndex(empty, [])]);
    await refuse(empty, { requireEncrypted }, "no layers");
  });

  it.each<[string, (entry: Entry) => void]>([
    ["has the annotations of an encrypted one", (entry) => (entry.mediaType = TAR_GZIP)],
    ["has the type of an encrypted one", (entry) => {
      for (const name of Object.keys(entry.annotations!)) if (name.startsWith(`${ENC}keys.`)) Reflect.deleteProperty(entry.annotations!, name);
    }],
  ])("rejects a layer that only %s", async (_, change) => {
    const path = await partly([0, 1, 2]);
    const [entry] = await readEntries(path);
    const manifest = await readManifest(path, entry!);
    change(manifest.layers[1]!);
    await writeIndex(path, [await putText(path, JSON.stringify(manifest))]);
    await refuse(path, { requireEncrypted: true }, "layer 1");
  }); // prettier-ignore

  describe("in an index", () => {
    /** Both platforms encrypted, and what an attacker puts beside them. */
    async function withEntries(
      change: (path: string, entries: Entry[]) => Promise<void>,
    ): Promise<string> {
      const [plain, path] = [directory(), directory()];
      await multiPlatform(plain);
      const { image } = await encrypt(plain, path);
      const entries = await readIndexEntries(path, image);
      await change(path, entries);
      await writeIndex(path, [await putIndex(path, entries)]);
      return path;
    }

    async function plainEntry(path: string): Promise<Entry> {
      const { descriptor } = await putManifest(path, [await layer("evil")]);
      return forPlatform(descriptor, "linux/amd64");
    }

    it("allows plain attestations", async () => {
      const path = await withEntries(() => Promise.resolve());
      expect(await allow(path, { requireEncrypted: true })).toBe(4);
    });

    it("rejects a plain platform, unless another is named", async () => {
      const [plain, path] = [directory(), directory()];
      await multiPlatform(plain);
      await encrypt(plain, path, { platforms: ["linux/amd64"] });
      await refuse(path, { requireEncrypted: true }, "of linux/arm64/v8");
      await refuse(path, { requireEncrypted: true, platforms: ["linux/amd64"] }, "linux/arm64/v8");
      const requireEncrypted = { platforms: ["linux/amd64"] };
      // They share a layer.
      expect(await allow(path, { requireEncrypted })).toBe(3);
    });

    it.each([true, { platforms: ["linux/amd64"] }])(
      "rejects a plain image that is marked as attestation: %j",
      async (requireEncrypted) => {
        const path = await withEntries(async (at, entries) => {
          const { annotations } = await putAttestation(at, entries[1]!);
          entries.unshift({ ...(await plainEntry(at)), ...(annotations && { annotations }) });
        });
        await refuse(path, { requireEncrypted }, "of linux/amd64");
      },
    );

    it("rejects a plain image that is marked as attestation and is of no platform", async () => {
      const path = await withEntries(async (at, entries) => {
        const { annotations } = await putAttestation(at, entries[1]!);
        const { descriptor } = await putManifest(at, [await layer("evil")]);
        entries.unshift({ ...descriptor, ...(annotations && { annotations }) });
      });
      await refuse(path, { requireEncrypted: true }, "layer 0");
    });

    it.each(["unknown/amd64", "linux/unknown"])(
      "rejects a plain image that is marked as attestation, for %s",
      async (platform) => {
        const path = await withEntries(async (at, entries) => {
          const { annotations } = await putAttestation(at, entries[1]!);
          const { descriptor } = await putManifest(at, [await layer("evil")]);
          const entry = forPlatform(descriptor, platform);
          entries.unshift({ ...entry, ...(annotations && { annotations }) });
        });
        await refuse(path, { requireEncrypted: true }, `layer 0 of ${platform} is not encrypted`);
      },
    );

    it("rejects a plain image of no platform that is not marked as attestation", async () => {
      const path = await withEntries(async (at, entries) => {
        const { descriptor } = await putManifest(at, [await layer("evil")]);
        entries.unshift(forPlatform(descriptor, "unknown/unknown"));
      });
      await refuse(path, { requireEncrypted: true }, "of unknown/unknown is not encrypted");
    });

    it("looks into nested indexes", async () => {
      const path = await withEntries(async (at, entries) => {
        entries.push(await putIndex(at, [await plainEntry(at)]));
      });
      await refuse(path, { requireEncrypted: true }, "of linux/amd64 is not encrypted");
    });

    it("rejects a missing manifest, unless other platforms are named", async () => {
      const digest = `sha256:${"0".repeat(64)}`;
      const path = await withEntries((_, entries) => {
        const missing = { mediaType: MANIFEST, digest, size: 1000 };
        entries.push(forPlatform(missing, "linux/s390x"));
        return Promise.resolve();
      });
      const platforms = ["linux/amd64"];
      await refuse(path, { requireEncrypted: true, platforms }, `manifest ${digest} is missing`);
      expect(await allow(path, { requireEncrypted: { platforms }, platforms })).toBeGreaterThan(0);
    });

    it("rejects an entry of an unknown type", async () => {
      const path = await withEntries(async (at, entries) => {
        entries.unshift(await putText(at, "{}", "application/vnd.example"));
      });
      await refuse(path, { requireEncrypted: true }, "application/vnd.example");
      expect(await allow(path, { requireEncrypted: { platforms: ["linux/amd64"] } })).toBe(4);
    });

    it("rejects a manifest without layers", async () => {
      const path = await withEntries(async (at, entries) => {
        const { descriptor } = await putManifest(at, []);
        entries.push(forPlatform(descriptor, "linux/s390x"));
      });
      await refuse(path, { requireEncrypted: true }, "has no layers");
    });
  });
});

describe("requireRecipients", () => {
  const recipient = jwe.recipient(vectorFile("keys/ec-p256.pub.jwk"));
  const keys = [jwe.key(vectorFile("keys/ec-p256.pem"))];

  /** Two layers for a JWE recipient with a kid, and the second for one of a provider as well. */
  async function forTwo(): Promise<string> {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, await some(2));
    await encrypt(plain, path, { recipients: [recipient], layers: [0] });
    const recipients = [recipient, plainRecipient("provider.team")];
    await encrypt(path, path, { recipients, layers: [1] });
    return path;
  }

  it.each<[string, string[], number[]]>([
    ["none", [], [0, 1]],
    ["a scheme", ["jwe"], [0, 1]],
    ["a key id", ["ec-p256"], [0, 1]],
    ["a scheme and a key id", ["jwe", "ec-p256"], [0, 1]],
    ["a provider", ["provider.team"], [1]],
    ["all of them", ["provider.team", "jwe", "ec-p256"], [1]],
  ])("allows %s", async (_, requireRecipients, layers) => {
    expect(await allow(await forTwo(), { requireRecipients, layers, keys })).toBe(layers.length);
  });

  it.each<[string, string[], string]>([
    ["another scheme", ["jwe", "pkcs7"], '"pkcs7"'],
    ["another key id", ["ec-p384"], '"ec-p384"'],
    ["a part of a key id", ["ec-p25"], '"ec-p25"'],
    ["another provider", ["provider.other"], '"provider.other"'],
    ["a provider without its name", ["provider"], '"provider"'],
    ["an algorithm", ["ECDH-ES+A128KW"], '"ECDH-ES+A128KW"'],
    ["nothing", [""], '""'],
    ["one that only another layer has", ["provider.team"], "layer 0"],
  ])("rejects %s", async (_, requireRecipients, said) => {
    await refuse(await forTwo(), { requireRecipients }, said);
  });

  it("rejects text that cannot be read as a recipient", async () => {
    const path = await createLayout(directory());
    const annotations = { [`${ENC}keys.jwe`]: "*", [`${ENC}keys.test`]: "AAAA" };
    const mediaType = `${TAR_GZIP}+encrypted`;
    const broken = layerOf(Buffer.from("x"), { mediaType, annotations });
    await writeIndex(path, [(await putManifest(path, [broken])).descriptor]);
    await refuse(path, { requireRecipients: ["jwe"] }, '"jwe"');
    const found = decrypt(path, directory(), { requireRecipients: ["test"], keys: [openKey()] });
    await expectCode(found, "PUBLIC_OPTIONS_MISSING");
  });

  it("applies to the layers to decrypt, and not to plain layers", async () => {
    const path = await partly([2]);
    expect(await allow(path, { requireRecipients: ["test"] })).toBe(1);
  });
});
