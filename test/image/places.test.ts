import { describe, expect, it } from "vitest";
import {
  addImageRecipients,
  decryptImage,
  encryptImage,
  removeImageRecipients,
  replaceImageRecipients,
  rotateImage,
} from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { ImageDestination, ImageSource } from "../../src/store/types.js";
import { multiPlatform, temporaryDirectories } from "../support/image.js";
import { PLACES, type Place } from "../support/places.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();

const alice = person("ec-p256");
const bob = person("ec-p384");
const recipients = [bob.recipient];

function person(name: string) {
  return {
    recipient: jwe.recipient(vectorFile(`keys/${name}.pub.jwk`)),
    key: jwe.key(vectorFile(`keys/${name}.pem`)),
  };
}

type Edit = (source: ImageSource, destination: ImageDestination) => Promise<unknown>;

/** Each operation, with a key that opens the image afterwards. Alice and Bob are in it before. */
const OPERATIONS: Record<string, { edit: Edit; key: typeof alice.key }> = {
  "nothing is added": {
    edit: (from, to) => addImageRecipients(from, to, { recipients, keys: [alice.key] }),
    key: alice.key,
  },
  "a recipient is added": {
    edit: (from, to) =>
      addImageRecipients(from, to, {
        recipients: [person("ec-p521").recipient],
        keys: [alice.key],
      }),
    key: person("ec-p521").key,
  },
  "a recipient is removed": {
    edit: (from, to) => removeImageRecipients(from, to, { recipients: [{ keys: [alice.key] }] }),
    key: bob.key,
  },
  "recipients are replaced": {
    edit: (from, to) => replaceImageRecipients(from, to, { recipients, keys: [alice.key] }),
    key: bob.key,
  },
  "layers are rotated": {
    edit: (from, to) => rotateImage(from, to, { recipients, keys: [alice.key] }),
    key: bob.key,
  },
};

const KINDS = Object.keys(PLACES) as (keyof typeof PLACES)[];
const PAIRS = KINDS.flatMap((from) => KINDS.map((to) => [from, to] as const));

async function encryptedIn(kind: keyof typeof PLACES): Promise<{ place: Place; digest: string }> {
  const plain = directory();
  const { index } = await multiPlatform(plain);
  const place = await PLACES[kind].empty(directory());
  await encryptImage((await PLACES.layout.of(plain, directory())).source(), await place.destination(), {
    recipients: [alice.recipient, bob.recipient],
  }); // prettier-ignore
  return { place, digest: index.digest };
}

/** Reads every blob, as decryption and the copy of all other blobs verify them. */
async function digestAfterDecryption(place: Place, key: typeof alice.key): Promise<string> {
  const { destination } = await PLACES.memory.empty(directory());
  return (await decryptImage(place.source(), await destination(), { keys: [key] })).image.digest;
}

describe.each(Object.entries(OPERATIONS))("%s:", (_, { edit, key }) => {
  it.each(PAIRS)("an image from %s is complete in another place (%s)", async (from, to) => {
    const { place, digest } = await encryptedIn(from);
    const other = await PLACES[to].empty(directory());
    await edit(place.source(), await other.destination());
    expect(await digestAfterDecryption(other, key)).toBe(digest);
  });

  it.each(KINDS)("an image in place (%s) stays complete", async (kind) => {
    const { place, digest } = await encryptedIn(kind);
    await edit(place.source(), await place.destination());
    expect(await digestAfterDecryption(place, key)).toBe(digest);
  });
});
