import { describe, expect, it } from "vitest";
import type { Profile } from "../../src/image/index.js";
import { addImageRecipients, replaceImageRecipients, rotateImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { expectCode } from "../support/codes.js";
import {
  DOCKER_TAR_GZIP,
  layer,
  layoutOf,
  snapshot,
  TAR,
  TAR_GZIP,
  TAR_ZSTD,
  temporaryDirectories,
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

/** What image-rs of confidential containers opens, and Go. */
const READABLE: readonly (readonly [string, Recipient])[] = [
  ["RSA", jweRecipient("rsa-3072")],
  ["EC", jweRecipient("ec-p256")],
  ["a key provider", plainRecipient("provider.attestation-agent")],
];

/** Each with the profile that can not read it. */
const UNREADABLE: readonly (readonly [string, Profile, Recipient, string])[] = [
  ["RSA-OAEP-256", "coco", oaep256(), "reads no RSA-OAEP-256"],
  ["pkcs7", "coco", plainRecipient("pkcs7"), "knows no pkcs7 recipients"],
  ["pgp", "coco", plainRecipient("pgp"), "knows no pgp recipients"],
  ["a scheme of its own", "go", plainRecipient("own"), "Go knows no own recipients"],
];

type Operation = (
  mediaType: string,
  compat: Profile,
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
  it.each(READABLE)("takes what all read: %s", async (__, recipient) => {
    for (const profile of ["go", "coco"] as const) {
      await (
        await operation(TAR_GZIP, profile, recipient)
      )();
    }
  });

  it.each(UNREADABLE)("refuses %s for %s", async (__, profile, recipient, why) => {
    const error = await expectCode(await operation(TAR, profile, recipient), "PROFILE_IMPOSSIBLE");
    expect(error.message).toContain(why);
  });

  it.each([
    [TAR_GZIP, true],
    [DOCKER_TAR_GZIP, true],
    [TAR_ZSTD, false],
    ["application/wasm", false],
  ])("knows whether the Rust side opens %s: %s", async (mediaType, isReadable) => {
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
