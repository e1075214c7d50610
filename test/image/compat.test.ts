import { describe, expect, it } from "vitest";
import type { CompatProfile } from "../../src/image/index.js";
import { addImageRecipients, replaceImageRecipients, rotateImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { expectCode } from "../support/codes.js";
import {
  DOCKER_TAR_GZIP,
  layer,
  layoutOf,
  putText,
  readEntries,
  readManifest,
  snapshot,
  TAR,
  TAR_GZIP,
  TAR_ZSTD,
  temporaryDirectories,
  writeIndex,
} from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";
import { encrypt } from "../support/operations.js";
import { vectorFile } from "../support/vectors.js";
import { watchedLayout } from "../support/watched-layout.js";

const directory = temporaryDirectories();

const jweRecipient = (key: string): Recipient => jwe.recipient(vectorFile(`keys/${key}.pub.pem`));

/** A JWK says which algorithm it is for. */
function oaep256(): Recipient {
  const jwk = JSON.parse(vectorFile("keys/rsa-3072.pub.jwk").toString()) as object;
  return jwe.recipient(Buffer.from(JSON.stringify({ ...jwk, alg: "RSA-OAEP-256" })));
}

/** Recipients that Go and image-rs of confidential containers open. */
const READABLE: readonly (readonly [string, Recipient])[] = [
  ["RSA", jweRecipient("rsa-3072")],
  ["EC", jweRecipient("ec-p256")],
  ["a key provider", plainRecipient("provider.attestation-agent")],
];

/** Each with the profile that cannot read it. */
const UNREADABLE: readonly (readonly [string, CompatProfile, Recipient, string])[] = [
  ["RSA-OAEP-256", "coco", oaep256(), "confidential containers do not support RSA-OAEP-256"],
  [
    "pkcs7",
    "coco",
    plainRecipient("pkcs7"),
    "confidential containers do not support pkcs7 recipients",
  ],
  ["pgp", "coco", plainRecipient("pgp"), "confidential containers do not support pgp recipients"],
  ["a scheme of its own", "go", plainRecipient("own"), "Go does not support own recipients"],
];

type Operation = (
  mediaType: string,
  compat: CompatProfile,
  recipient: Recipient,
) => Promise<() => Promise<unknown>>;

const changes = { addImageRecipients, replaceImageRecipients, rotateImage };

/** Each prepares an image with a layer of some type, and then can be run on it. */
const OPERATIONS: readonly (readonly [string, Operation])[] = [
  [
    "encryptImage",
    async (mediaType, compat, recipient) => {
      const path = directory();
      await layoutOf(path, [await layer("a", { mediaType })]);
      return unchanged(path, () => encrypt(path, path, { recipients: [recipient], compat }));
    },
  ],
  ...Object.entries(changes).map(([name, change]): [string, Operation] => [
    name,
    async (mediaType, compat, recipient) => {
      const path = directory();
      await layoutOf(path, [await layer("a", { mediaType })]);
      await encrypt(path, path);
      const { source, destination } = await watchedLayout(path);
      const options = { recipients: [recipient], keys: [openKey()], compat };
      return unchanged(path, () => change(source, destination, options));
    },
  ]),
];

/** Runs something, and if it fails sees to it that the layout is as it was. */
async function unchanged(
  path: string,
  run: () => Promise<unknown>,
): Promise<() => Promise<unknown>> {
  const before = await snapshot(path);
  return async () => {
    try {
      return await run();
    } catch (error) {
      expect(await snapshot(path)).toEqual(before);
      throw error;
    }
  };
}

describe.each(OPERATIONS)("compat of %s", (_, operation) => {
  it.each(READABLE)("accepts what all readers support: %s", async (__, recipient) => {
    for (const profile of ["go", "coco"] as const) {
      await (
        await operation(TAR_GZIP, profile, recipient)
      )();
    }
  });

  it.each(UNREADABLE)("rejects %s for %s", async (__, profile, recipient, why) => {
    const error = await expectCode(await operation(TAR, profile, recipient), "PROFILE_IMPOSSIBLE");
    expect(error.message).toContain(why);
  });

  it.each([
    [TAR_GZIP, true],
    [DOCKER_TAR_GZIP, true],
    [TAR_ZSTD, false],
    ["application/wasm", false],
  ])("knows whether confidential containers can open %s: %s", async (mediaType, isReadable) => {
    const run = await operation(mediaType, "coco", jweRecipient("ec-p256"));
    if (isReadable) await run();
    else {
      const error = await expectCode(run, "PROFILE_IMPOSSIBLE");
      expect(error.message).toContain(mediaType);
    }
    await (
      await operation(mediaType, "go", jweRecipient("ec-p256"))
    )();
  });
});

describe("compat of a layer whose type is not one that this library writes", () => {
  /** An encrypted layer of some type. */
  async function typed(mediaType: string): Promise<string> {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    await encrypt(path, path);
    const manifest = await readManifest(path, (await readEntries(path))[0]!);
    manifest.layers[0]!.mediaType = mediaType;
    await writeIndex(path, [await putText(path, JSON.stringify(manifest))]);
    return path;
  }

  async function run(
    name: keyof typeof changes,
    path: string,
    compat: CompatProfile,
  ): Promise<unknown> {
    const { source, destination } = await watchedLayout(path);
    const options = { recipients: [jweRecipient("ec-p256")], keys: [openKey()], compat };
    return (await unchanged(path, () => changes[name](source, destination, options)))();
  }

  const edits = ["addImageRecipients", "replaceImageRecipients"] as const;
  const docker = `${DOCKER_TAR_GZIP}+encrypted`;

  it.each(edits.flatMap((name) => [docker, TAR_GZIP].map((type) => [name, type] as const)))(
    "(%s) does not change: %s",
    async (name, mediaType) => {
      const error = await expectCode(
        run(name, await typed(mediaType), "coco"),
        "PROFILE_IMPOSSIBLE",
      );
      expect(error.message).toContain(mediaType);
    },
  );

  it.each(edits)("(%s) does not matter to Go if it says that it is encrypted", async (name) => {
    await run(name, await typed(docker), "go");
    await expectCode(run(name, await typed(TAR_GZIP), "go"), "PROFILE_IMPOSSIBLE");
  });

  it.each([docker, TAR_GZIP])(
    "is checked as it will be after a rotation: %s",
    async (mediaType) => {
      for (const profile of ["go", "coco"] as const) {
        await run("rotateImage", await typed(mediaType), profile);
      }
    },
  );
});
