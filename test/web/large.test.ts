import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  createReadStream,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import {
  blobFile,
  createLayout,
  imageConfig,
  MANIFEST,
  putBlob,
  putText,
  TAR,
  temporaryDirectories,
  writeIndex,
} from "../support/image.js";
import { encrypt } from "../support/operations.js";
import { useChromium } from "./chromium.js";
import { peerKey } from "./images.js";

const opened = useChromium();
const directory = temporaryDirectories();

const MIB = 1024 * 1024;
const SIZE = 200 * MIB;

/** Encrypts an image whose only layer has a file of 200 MiB and a small one. */
async function largeImage(): Promise<string> {
  const root = directory();
  writeFileSync(join(root, "zeros"), "");
  truncateSync(join(root, "zeros"), SIZE);
  writeFileSync(join(root, "note.txt"), "behind the large file\n");
  const tar = join(directory(), "layer.tar");
  execFileSync("tar", ["-cf", tar, "-C", root, "zeros", "note.txt"]);
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(tar)) hash.update(chunk as Buffer);
  const digest = `sha256:${hash.digest("hex")}`;
  const plain = await createLayout(directory());
  mkdirSync(dirname(blobFile(plain, digest)), { recursive: true });
  const layer = { mediaType: TAR, digest, size: statSync(tar).size };
  renameSync(tar, blobFile(plain, digest));
  const { mediaType, content } = imageConfig([digest]);
  const config = { mediaType, ...(await putBlob(plain, content)) };
  const manifest = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [layer] };
  await writeIndex(plain, [await putText(plain, JSON.stringify(manifest))]);
  const encrypted = join(directory(), "large");
  const recipients = [jwe.recipient(readFileSync(peerKey("rsa2048.pub.pem")))];
  await encrypt(plain, encrypted, { recipients });
  return encrypted;
}

it("a layer of 200 MiB is decrypted and read in bounded memory, and can be cancelled", async () => {
  const image = await largeImage();
  const { page, drop, peakMemory } = opened();
  await drop(image, peerKey("rsa2048.pkcs8.pem"));
  await page.getByText(" opens it").first().waitFor();
  const before = await peakMemory();

  await page.getByRole("button", { name: "Decrypt and show the files" }).click();
  await page.getByText(/ of 200 MiB/).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByText("Cancelled.").waitFor();

  await page.getByRole("button", { name: "Decrypt and show the files" }).click();
  await page.getByRole("button", { name: /^note.txt/ }).click({ timeout: 120_000 });
  await page.getByText("behind the large file").waitFor();
  // Of the process that shows the page, with its worker; the content is in blobs, outside of it.
  expect((await peakMemory()) - before).toBeLessThan(SIZE);

  const download = page.waitForEvent("download", { timeout: 120_000 });
  await page.getByRole("button", { name: "Decrypt into an archive" }).click();
  await page.getByRole("button", { name: /^Save large-decrypted/ }).click({ timeout: 120_000 });
  expect(statSync(await (await download).path()).size).toBeGreaterThan(SIZE);
  expect((await peakMemory()) - before).toBeLessThan(SIZE);
}, 240_000);
