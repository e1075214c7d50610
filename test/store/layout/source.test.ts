import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { layoutSource } from "../../../src/store/layout/source.js";
import type { LayoutReference } from "../../../src/store/reference.js";
import type { Descriptor } from "../../../src/spec/descriptor.js";
import { collect } from "../../support/bytes.js";
import { expectCode } from "../../support/codes.js";
import {
  compact,
  createLayout,
  digestOf,
  INDEX,
  layer,
  MANIFEST,
  multiPlatform,
  putBlob,
  putManifest,
  putText,
  tagged,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../../support/image.js";

const directory = temporaryDirectories();

function resolve(reference: LayoutReference): Promise<Descriptor> {
  return layoutSource(reference).resolve();
}

/** A layout whose index has images of these names, each of its own. */
async function layoutWith(...names: (string | undefined)[]): Promise<{
  path: string;
  entries: Entry[];
}> {
  const path = await createLayout(directory());
  const entries: Entry[] = [];
  for (const [i, name] of names.entries()) {
    const { descriptor } = await putManifest(path, [await layer(String(i))]);
    entries.push(name === undefined ? descriptor : tagged(descriptor, name));
  }
  await writeIndex(path, entries);
  return { path, entries };
}

describe("the image that a reference means", () => {
  it.each([
    ["the only one", [undefined], undefined, 0],
    ["the only one, named", ["latest"], undefined, 0],
    ["that of the tag", ["a", "b", undefined], "b", 1],
    ["that of a tag like another", ["a", "a:b", "A"], "A", 2],
  ])("is %s", async (_, names, tag, expected) => {
    const { path, entries } = await layoutWith(...names);
    expect(await resolve({ path, ...(tag && { tag }) })).toEqual(entries[expected]);
  });

  it.each([
    ["there are no images", [], undefined, "no image"],
    ["there are several", ["b", "a", undefined], undefined, "several images"],
    ["none has the tag", ["b", "a"], "c", "with the tag c"],
    ["none has a tag", [undefined], "latest", "no named image"],
    ["several have the tag", ["a", "a"], "a", "several images with the tag a"],
    ["a tag is that of a member", ["a"], "__proto__", "no image with the tag __proto__"],
  ])("is not found if %s", async (_, names, tag, said) => {
    const { path, entries } = await layoutWith(...names);
    const { message } = await expectCode(resolve({ path, ...(tag && { tag }) }), "IMAGE_NOT_FOUND");
    expect(message).toContain(said);
    expect(message).toContain(path);
    if (said.endsWith("with the tag a")) {
      expect(message).toContain(entries.map(({ digest }) => digest).join(", "));
      return;
    }
    const named = names.filter((name) => name !== undefined);
    if (named.length > 0) expect(message).toContain(`these: ${named.join(", ")}`);
  });

  it("is not reported with the names of a thousand images", async () => {
    const { path, entries } = await layoutWith("tag");
    await writeIndex(
      path,
      Array.from({ length: 1000 }, (_, i) => tagged(entries[0]!, `tag-${String(i)}`)),
    );
    const { message } = await expectCode(resolve({ path, tag: "none" }), "IMAGE_NOT_FOUND");
    expect(message.length).toBeLessThan(1000);
  });

  it("is one image, however many tags it has", async () => {
    const path = await createLayout(directory());
    const { descriptor } = await putManifest(path, [await layer("a")]);
    await writeIndex(path, [tagged(descriptor, "a"), tagged(descriptor, "b")]);
    expect((await resolve({ path })).digest).toBe(descriptor.digest);
  });

  it("may be any manifest in the layout, by its digest", async () => {
    const path = directory();
    const { index, arm64 } = await multiPlatform(path);
    expect(await resolve({ path, digest: index.digest })).toEqual(index);
    const { digest, size } = arm64.descriptor;
    expect(await resolve({ path, digest })).toEqual({ mediaType: MANIFEST, digest, size });
  });

  it.each([
    [{ layers: [] }, MANIFEST],
    [{ manifests: [] }, INDEX],
    [{ mediaType: "x/y", manifests: [] }, "x/y"],
    [{ mediaType: 5, manifests: [] }, INDEX],
  ])("is described by its own media type: %j", async (content, mediaType) => {
    const path = await createLayout(directory());
    const { digest, size } = await putText(path, compact(content));
    expect(await resolve({ path, digest })).toEqual({ mediaType, digest, size });
  });

  it.each([
    ["is not there", digestOf("nothing"), "IMAGE_NOT_FOUND"],
    ["is no JSON", digestOf("text"), "MANIFEST_INVALID"],
    ["is no object", digestOf("[]"), "MANIFEST_INVALID"],
    ["has no digest", "sha256:../../etc/passwd", "DESCRIPTOR_INVALID"],
  ] as const)("cannot be selected by digest if it %s", async (_, digest, code) => {
    const path = await createLayout(directory());
    for (const content of ["text", "[]"]) await putBlob(path, content);
    await expectCode(resolve({ path, digest }), code);
  });
});

describe("the content of a blob", () => {
  const content = Buffer.alloc(600_001, "0123456789abcdef");

  it.each(["sha256", "sha512"])("is read by its %s digest", async (algorithm) => {
    const path = await createLayout(directory());
    const stored = await putBlob(path, content, digestOf(content, algorithm));
    const read = await collect(layoutSource({ path }).read({ mediaType: "", ...stored }));
    expect(read.equals(content)).toBe(true);
  });

  it("is read in chunks that are not overwritten", async () => {
    const path = await createLayout(directory());
    const stored = await putBlob(path, content);
    const chunks: Uint8Array[] = [];
    for await (const chunk of layoutSource({ path }).read({ mediaType: "", ...stored })) {
      chunks.push(chunk);
    }
    expect(chunks.length).toBeGreaterThan(1);
    expect(Buffer.concat(chunks).equals(content)).toBe(true);
  });

  it.each([
    ["sha256:../../oci-layout"],
    ["sha256:"],
    [`sha256:${"a".repeat(60)}/../`],
    [`__proto__:${"a".repeat(64)}`],
  ])("is not looked for at %s", async (digest) => {
    const path = await createLayout(directory());
    const reading = collect(layoutSource({ path }).read({ mediaType: "", digest, size: 1 }));
    await expectCode(reading, "DESCRIPTOR_INVALID");
  });

  it("is not looked for below a file", async () => {
    const path = directory();
    await writeFile(join(path, "blobs"), "");
    const blob = { mediaType: "", digest: digestOf(""), size: 0 };
    await expectCode(collect(layoutSource({ path }).read(blob)), "SOURCE_UNREADABLE");
  });
});
