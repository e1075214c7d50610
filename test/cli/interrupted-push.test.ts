import { beforeAll, describe, expect, it } from "vitest";
import { testRegistry, type TestRegistry } from "../registry/server.js";
import { temporaryDirectories } from "../support/image.js";
import {
  CANCELLING,
  DECRYPT,
  ENCRYPT,
  interruptPush,
  makeImages,
  PUBLISHING,
  RECIPIENTS_ADD,
  ROTATE,
  TAG_STORED,
  UNHEARD,
  UPLOAD_OPENED,
  UPLOADING,
  type Images,
  type InterruptedPush,
  type Interruption,
  type Place,
  type Push,
} from "../support/interrupted-push.js";
import { wholeImage } from "../support/registry-http.js";

const directory = temporaryDirectories();

let images: Images;
beforeAll(async () => {
  images = await makeImages(directory);
});

/** Also looks at the manifests that have no tag: none may name what is not there. */
async function interrupt(push: Push, interruption: Interruption): Promise<InterruptedPush> {
  const registry = await testRegistry();
  const result = await interruptPush(placeIn(registry), images, push, interruption);
  for (const name of registry.manifests.keys()) {
    const [repository = "", digest] = name.split("@");
    if (digest !== undefined) await wholeImage({ host: registry.host, repository }, digest);
  }
  return result;
}

function placeIn(registry: TestRegistry): Place {
  const names = (): string[][] => registry.tags().map((name) => name.split(":"));
  return {
    ...{ host: registry.host, prefix: "", directory },
    tags: (of) => names().flatMap(([repository, tag = ""]) => (repository === of ? [tag] : [])),
    uploads: () => [...registry.uploads.keys()],
  };
}

/** Of what encrypting shows for all; `test/interop` has more of the others. */
const SOME_UPLOADING = UPLOADING.slice(1, 2);
const SOME_PUBLISHING = PUBLISHING.slice(1, 3);

describe.each([
  ["encrypt", ENCRYPT, [...UPLOADING, ...PUBLISHING], UNHEARD],
  ["decrypt", DECRYPT, [...SOME_UPLOADING, ...SOME_PUBLISHING], []],
  ["rotate", ROTATE, [...SOME_UPLOADING, ...SOME_PUBLISHING], []],
  ["recipients add", RECIPIENTS_ADD, SOME_PUBLISHING, []],
] as const)("%s", (_, push, moments, unheard) => {
  const { signal } = push;

  it.each(moments)("does not change the tag after SIGKILL %s", async (_, moment) => {
    const { outcome, before, after, again } = await interrupt(push, { moment, signal: "SIGKILL" });
    expect(outcome).toMatchObject({ status: null, signal: "SIGKILL" });
    expect(after).toEqual(before);
    await again();
  });

  it.each([...moments, ...unheard])(
    `also leaves no upload after ${signal} %s`,
    async (_, moment) => {
      const { outcome, before, after, ...result } = await interrupt(push, { moment, signal });
      expect(outcome).toMatchObject({ status: signal === "SIGINT" ? 130 : 143, stdout: "" });
      expect(outcome.stderr).toBe("ocicrypt: interrupted; the destination is unchanged\n");
      expect(after).toEqual(before);
      expect(result.forgotten).toEqual([]);
      expect(result.uploads).toHaveLength(moment === UPLOAD_OPENED ? 1 : 0);
    },
  );
});

describe("once the tag is stored", () => {
  it("the image is whole after SIGKILL", async () => {
    const moment = TAG_STORED;
    const { before, after, again } = await interrupt(DECRYPT, { moment, signal: "SIGKILL" });
    expect({ before, after }).toEqual({ before: {}, after: { v1: images.plainDigest } });
    await again();
  });

  it("the image is whole after SIGINT", async () => {
    const interruption = { moment: TAG_STORED, signal: "SIGINT" } as const;
    const { outcome, before, after, forgotten } = await interrupt(DECRYPT, interruption);
    expect({ before, after }).toEqual({ before: {}, after: { v1: images.plainDigest } });
    expect(forgotten).toEqual([]);
    expect(outcome).toMatchObject({ status: 0, signal: null, stderr: "" });
    expect(outcome.stdout).toContain(images.plainDigest);
  });
});

it("a second signal ends the command immediately, even while uploads are being cancelled", async () => {
  const interruption = { moment: UPLOADING[1]![1], signal: "SIGINT", insist: CANCELLING } as const;
  const { outcome, before, after } = await interrupt(ENCRYPT, interruption);
  expect(outcome).toEqual({ status: 130, signal: null, stdout: "", stderr: "" });
  expect(after).toEqual(before);
});
