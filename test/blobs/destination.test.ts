import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { blobDestination, openBlobs } from "../../src/blobs/index.js";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { archiveDestination, layoutSource } from "../../src/store/index.js";
import { collect } from "../support/bytes.js";
import { layer, layoutOf, temporaryDirectories } from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";

const directory = temporaryDirectories();
const recipients = [plainRecipient()];
const keys = [openKey()];

async function bytesOf(blob: Blob): Promise<Buffer> {
  return Buffer.from(await blob.arrayBuffer());
}

describe("blobDestination", () => {
  it("makes an archive that is opened again, the same as in a file", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a"), await layer("b".repeat(9_000_000))]);
    const source = layoutSource({ path });
    const encrypted = blobDestination({ tag: "1.0" });
    const { image } = await encryptImage(source, encrypted, { recipients });

    const opened = await openBlobs(encrypted.archive());
    expect(opened.images).toEqual([{ tag: "1.0" }]);
    expect((await opened.source({ tag: "1.0" }).resolve()).digest).toBe(image.digest);

    const plain = blobDestination({ tag: "plain" });
    const decrypted = await decryptImage(opened.source(), plain, { keys });
    expect(decrypted.image.digest).toBe((await source.resolve()).digest);

    const file = join(directory(), "image.tar");
    const sameImage = await archiveDestination({ path: file, tag: "plain" });
    await decryptImage(opened.source(), sameImage, { keys });
    expect((await bytesOf(plain.archive())).equals(await readFile(file))).toBe(true);
  });

  it("keeps the name of the source", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const named = blobDestination({ tag: "one" });
    await encryptImage(layoutSource({ path }), named, { recipients });
    const again = blobDestination();
    await decryptImage((await openBlobs(named.archive())).source(), again, { keys });
    expect((await openBlobs(again.archive())).images).toEqual([{ tag: "one" }]);
  });

  it("has no archive before the image is complete", async () => {
    const destination = blobDestination();
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from("a");
      await Promise.reject(new Error("broken off"));
    };
    const descriptor = { mediaType: "text/plain", digest: `sha256:${"a".repeat(64)}`, size: 1 };
    await expect(destination.write(broken(), () => descriptor)).rejects.toThrow("broken off");
    expect(await destination.contains(descriptor)).toBe(false);
    expect(() => destination.archive()).toThrow("no image was written");
    await destination.discard();
    expect(() => destination.archive()).toThrow("no image was written");
  });

  it("is read while it streams", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const destination = blobDestination();
    await encryptImage(layoutSource({ path }), destination, { recipients });
    const archive = destination.archive();
    expect(archive.type).toBe("application/x-tar");
    const streamed = await collect(archive.stream());
    expect(streamed.length).toBe(archive.size);
  });
});
