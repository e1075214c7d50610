import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
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
import { peerKey, peerLayout } from "./images.js";

const opened = useChromium();
const directory = temporaryDirectories();

const MIB = 1024 * 1024;
const SIZE = 200 * MIB;

/** Makes an image whose only layer has a file of 200 MiB and a small one, plain and encrypted. */
async function largeImage(): Promise<{ plain: string; encrypted: string }> {
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
  return { plain, encrypted };
}

/** An archive of an image, behind 20 GiB that are no part of it and take no space on the disk. */
function hugeArchive(): string {
  const [folder, image] = [directory(), peerLayout("skopeo-1.9.3/jwe-rsa2048-pem")];
  writeFileSync(join(folder, "other"), "");
  truncateSync(join(folder, "other"), 20 * 1024 * MIB);
  const file = join(folder, "huge.tar");
  // The header only: tar would read all of the file, even though it is empty.
  const header = execFileSync("sh", ["-c", "tar --format=gnu -cf - other | head -c 512"], { cwd: folder }); // prettier-ignore
  writeFileSync(file, header);
  truncateSync(file, 512 + 20 * 1024 * MIB);
  const rest = execFileSync("tar", ["-cf", "-", "-C", image, "oci-layout", "index.json", "blobs"], { maxBuffer: 64 * MIB }); // prettier-ignore
  appendFileSync(file, rest);
  return file;
}

/** Starts an operation, and cancels it once it has read a part of the layer. */
async function cancel(action: string): Promise<void> {
  const { page } = opened();
  await page.getByRole("button", { name: action }).click();
  await page.getByText(/ of 200 MiB/).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.locator(".task").waitFor({ state: "detached" });
  await page.getByText("Cancelled.").last().waitFor();
  expect(await page.evaluate(() => document.activeElement?.textContent)).toMatch(
    /^(?:Decrypt|Cancelled)/,
  );
  expect(await page.locator(".tree").count()).toBe(0);
  expect(await page.getByRole("button", { name: /^Save/ }).count()).toBe(0);
}

it("an archive of 20 GiB is opened as a chosen file, without reading what is no part of the image", async () => {
  const { page, peakMemory } = opened();
  const before = await peakMemory();
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Choose files" }).click();
  await (await chooser).setFiles([hugeArchive(), peerKey("rsa2048.pkcs8.pem")]);
  await page.getByText(" opens it").first().waitFor();
  await page.getByRole("button", { name: "Decrypt and show the files" }).click();
  await page.getByRole("button", { name: /^hello.txt/ }).click();
  await page.locator(".viewer pre").waitFor();
  expect((await peakMemory()) - before).toBeLessThan(SIZE);
});

it("a layer of 200 MiB is decrypted and read in bounded memory, and each operation can be cancelled", async () => {
  const { plain, encrypted } = await largeImage();
  const { page, drop, peakMemory } = opened();
  await drop(plain, peerKey("ec256.pub.pem"));
  await page.getByText("key file added").waitFor();
  await page.getByRole("button", { name: "Encrypt", exact: true }).click();
  await cancel("Encrypt into an archive");
  await page.getByRole("button", { name: /^Remove d/ }).click();

  await drop(encrypted, peerKey("rsa2048.pkcs8.pem"));
  await page.getByText(" opens it").first().waitFor();
  const before = await peakMemory();
  await cancel("Decrypt into an archive");
  await cancel("Decrypt and show the files");

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
