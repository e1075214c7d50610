import { expect, it } from "vitest";
import {
  addImageRecipients,
  decryptImage,
  encryptImage,
  removeImageRecipients,
} from "../../src/image/index.js";
import { registryDestination, registrySource } from "../../src/registry/index.js";
import type { ImageDestination, ImageSource } from "../../src/store/types.js";
import { layoutDestination } from "../../src/store/layout/destination.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseReference } from "../../src/store/reference.js";
import { multiPlatform, temporaryDirectories } from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";
import { at, QUICK, testRegistry } from "./server.js";

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
  await encryptImage(layoutSource(parseReference(`oci:${plain}`)), first.to, { recipients });

  registry.requests.length = 0;
  const { from, to } = await place();
  const added = [plainRecipient("new")];
  await addImageRecipients(from, to, { recipients: added, keys: [openKey()] });
  const again = await place();
  await removeImageRecipients(again.from, again.to, { recipients: [{ scheme: "test" }] });
  const paths = registry.requests.map(({ method, target }) => `${method} ${target}`);
  expect(paths.filter((path) => path.includes("/blobs/"))).toEqual([]);
  expect(paths.at(-1)).toBe("PUT /v2/app/manifests/v1");

  const back = await layoutDestination(parseReference(`oci:${directory()}`));
  const { layers } = await decryptImage((await place()).from, back, { keys: [openKey("new")] });
  expect(layers.map(({ diffId }) => diffId)).toEqual(Array(4).fill("verified"));
});
