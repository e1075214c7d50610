import { appendFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { openJournal } from "../../src/cli/journal.js";
import type { ImageDestination, ImageSource } from "../../src/store/index.js";
import { temporaryDirectories } from "../support/image.js";

const directory = temporaryDirectories();

function sourceOf(name: string, digest: string): ImageSource {
  const descriptor = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 2 };
  return {
    place: { store: "test", name },
    resolve: () => Promise.resolve(descriptor),
    read: () => {
      throw new Error("no content");
    },
  };
}

it("knows the images of an interrupted run, also after lines that are damaged", async () => {
  const state = directory();
  vi.stubEnv("XDG_STATE_HOME", state);
  const [plain, secret] = [sourceOf("plain", "sha256:before"), sourceOf("secret", "sha256:after")];
  const destination = { place: secret.place, commit: () => Promise.resolve() };

  const first = await openJournal("encrypt");
  await first.watch(plain).resolve();
  const recorded = first.record(plain.place, destination as unknown as ImageDestination);
  await recorded.commit(await secret.resolve());
  expect(await first.find(plain, secret)).toBeUndefined();

  const [name = ""] = await readdir(join(state, "ocicrypt"));
  await appendFile(join(state, "ocicrypt", name), '\0\0\0\n{"a":1}\n[1,2,3,4]\n["cut');
  const second = await openJournal("encrypt");
  expect(await second.find(plain, secret)).toMatchObject({ digest: "sha256:after" });
  expect(await second.find(sourceOf("plain", "sha256:other"), secret)).toBeUndefined();
  await second.end();
  expect(await readdir(join(state, "ocicrypt"))).toEqual([]);
  vi.unstubAllEnvs();
});
