import { describe, expect, it } from "vitest";
import {
  addImageRecipients,
  decryptImage,
  encryptImage,
  removeImageRecipients,
  replaceImageRecipients,
  rotateImage,
} from "../../src/image/index.js";
import { registryDestination, registrySource } from "../../src/registry/index.js";
import type { ImageDestination, ImageSource } from "../../src/store/types.js";
import { layoutDestination } from "../../src/store/layout/destination.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseLayoutReference } from "../../src/store/reference.js";
import { expectCode } from "../support/codes.js";
import { layer, layoutOf, multiPlatform, temporaryDirectories } from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";
import { at, digestOf, MANIFEST, QUICK, reply, testRegistry, type TestRegistry } from "./server.js";

const directory = temporaryDirectories();

it("recipients change in a registry without any request for a blob", async () => {
  const registry = await testRegistry();
  const place = async (): Promise<{ from: ImageSource; to: ImageDestination }> => ({
    from: registrySource(at(registry, "app", "v1"), QUICK),
    to: await registryDestination(at(registry, "app", "v1"), QUICK),
  });
  const plain = directory();
  await multiPlatform(plain);
  const first = await place();
  const recipients = [plainRecipient()];
  await encryptImage(layoutSource(parseLayoutReference(`oci:${plain}`)), first.to, { recipients });

  registry.requests.length = 0;
  const { from, to } = await place();
  const added = [plainRecipient("new")];
  await addImageRecipients(from, to, { recipients: added, keys: [openKey()] });
  const again = await place();
  await removeImageRecipients(again.from, again.to, { recipients: [{ scheme: "test" }] });
  const paths = registry.requests.map(({ method, target }) => `${method} ${target}`);
  expect(paths.filter((path) => path.includes("/blobs/"))).toEqual([]);
  expect(paths.at(-1)).toBe("PUT /v2/app/manifests/v1");

  const back = await layoutDestination(parseLayoutReference(`oci:${directory()}`));
  const { layers } = await decryptImage((await place()).from, back, { keys: [openKey("new")] });
  expect(layers.map(({ diffId }) => diffId)).toEqual(Array(4).fill("verified"));
});

type Edit = (from: ImageSource, to: ImageDestination) => Promise<unknown>;

const keys = [openKey()];
const others = { keys, recipients: [plainRecipient("new")] };
const EDITS: Record<string, Edit> = {
  "adding recipients": (from, to) => addImageRecipients(from, to, others),
  "removing recipients": async (from, to) =>
    removeImageRecipients(from, to, { recipients: [{ scheme: "test", index: 0 }] }),
  "replacing recipients": (from, to) => replaceImageRecipients(from, to, others),
  "rotating keys": (from, to) => rotateImage(from, to, others),
  "decrypting in place": (from, to) => decryptImage(from, to, { keys }),
};
/** The image that another client pushes meanwhile. */
const OTHER = JSON.stringify({ schemaVersion: 2, config: {}, layers: [] });
const TAG = "/manifests/v1";

describe("the tag of an image that is edited in place", () => {
  /** A registry whose image `app:v1` has two recipients, and a way to edit it there. */
  async function prepare(): Promise<{
    registry: TestRegistry;
    edit: (by: Edit) => Promise<unknown>;
  }> {
    const registry = await testRegistry();
    const plain = directory();
    await layoutOf(plain, [await layer("a")]);
    const place = at(registry, "app", "v1");
    const recipients = [plainRecipient("first"), plainRecipient()];
    await encryptImage(layoutSource({ path: plain }), await registryDestination(place, QUICK), {
      recipients,
    });
    registry.requests.length = 0;
    const edit = async (by: Edit): Promise<unknown> =>
      by(registrySource(place, QUICK), await registryDestination(place, QUICK));
    return { registry, edit };
  }

  const move = (registry: TestRegistry): string =>
    registry.putManifest("app", "v1", MANIFEST, OTHER);
  const named = (registry: TestRegistry): string =>
    digestOf(registry.manifests.get("app:v1")!.bytes);

  it.each(Object.entries(EDITS))("is kept when it has moved during %s", async (_, edit) => {
    const { registry, edit: run } = await prepare();
    registry.script = ({ method }) => {
      if (method === "PUT") move(registry);
      return false;
    };
    const { message } = await expectCode(run(edit), "DESTINATION_CHANGED");
    expect(message).toContain("the tag v1 names sha256:");
    expect(named(registry)).toBe(digestOf(OTHER));
    expect(registry.log()).not.toContain(`PUT /v2/app${TAG}`);
  });

  it("is kept when it has moved during encryption", async () => {
    const registry = await testRegistry();
    const plain = directory();
    await layoutOf(plain, [await layer("a")]);
    const place = at(registry, "app", "v1");
    const first = await registryDestination(place, QUICK);
    const recipients = [plainRecipient()];
    await encryptImage(layoutSource({ path: plain }), first, { recipients });
    await decryptImage(registrySource(place, QUICK), await registryDestination(place, QUICK), {
      keys,
    });
    registry.script = ({ method }) => {
      if (method === "PUT") move(registry);
      return false;
    };
    const again = encryptImage(
      registrySource(place, QUICK),
      await registryDestination(place, QUICK),
      { recipients },
    );
    await expectCode(again, "DESTINATION_CHANGED");
    expect(named(registry)).toBe(digestOf(OTHER));
  });

  it("is not written if it was deleted in the meantime", async () => {
    const { registry, edit } = await prepare();
    registry.script = ({ method }) => {
      if (method === "PUT") registry.manifests.delete("app:v1");
      return false;
    };
    const { message } = await expectCode(edit(EDITS["adding recipients"]!), "DESTINATION_CHANGED");
    expect(message).toContain("names nothing");
    expect(registry.tags()).toEqual([]);
  });

  it("is read right before the request that writes it", async () => {
    const { registry, edit } = await prepare();
    await edit(EDITS["rotating keys"]!);
    expect(registry.log().slice(-2)).toEqual([`GET /v2/app${TAG}`, `PUT /v2/app${TAG}`]);
    expect(registry.requests.at(-1)!.headers).not.toHaveProperty("if-match");
  });

  it("is kept by a registry that compares its ETag if it moves later", async () => {
    const { registry, edit } = await prepare();
    registry.etag = (digest) => `"${digest}"`;
    const before = named(registry);
    registry.script = ({ method, target }) => {
      if (method === "PUT" && target.endsWith(TAG)) move(registry);
      return false;
    };
    await expectCode(edit(EDITS["removing recipients"]!), "DESTINATION_CHANGED");
    expect(
      registry.requests.find(({ headers }) => "if-match" in headers)!.headers["if-match"],
    ).toBe(`"${before}"`);
    expect(named(registry)).toBe(digestOf(OTHER));
  });

  it("is written once if the answer to the request is lost", async () => {
    const { registry, edit } = await prepare();
    registry.etag = (digest) => `"${digest}"`;
    const before = named(registry);
    registry.script = ({ method, target, body }, response) => {
      if (method !== "PUT" || !target.endsWith(TAG)) return false;
      registry.script = () => false;
      registry.putManifest("app", "v1", MANIFEST, body.toString());
      response.destroy();
      return true;
    };
    await edit(EDITS["removing recipients"]!);
    expect(named(registry)).not.toBe(before);
  });

  it("is written without If-Match if its ETag is weak", async () => {
    const { registry, edit } = await prepare();
    registry.etag = (digest) => `W/"${digest}"`;
    await edit(EDITS["removing recipients"]!);
    expect(registry.requests.at(-1)!.headers).not.toHaveProperty("if-match");
  });

  it("that cannot be changed is not reported as moved", async () => {
    const { registry, edit } = await prepare();
    registry.etag = (digest) => `"${digest}"`;
    registry.script = ({ method, target }, response) =>
      method === "PUT" && target.endsWith(TAG) && reply(response, 412);
    const { message } = await expectCode(edit(EDITS["rotating keys"]!), "REGISTRY_FAILED");
    expect(message).toContain("was answered 412");
  });
});

it("a tag of another image is written whatever it named before", async () => {
  const registry = await testRegistry();
  const plain = directory();
  await layoutOf(plain, [await layer("a")]);
  const to = await registryDestination(at(registry, "app", "v1"), QUICK);
  await encryptImage(layoutSource({ path: plain }), to, { recipients: [plainRecipient()] });
  expect(registry.log()).not.toContain(`GET /v2/app${TAG}`);
});
