import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { layerOf, layoutOf, TAR, tar, temporaryDirectories } from "../support/image.js";
import { encrypt } from "../support/operations.js";
import { useChromium } from "./chromium.js";
import { damaged, peerKey, peerLayout } from "./images.js";

const opened = useChromium();
const directory = temporaryDirectories();

const ENCRYPTED = peerLayout("skopeo-1.9.3/jwe-rsa2048-pem");
const KEY = peerKey("rsa2048.pkcs8.pem");

/** Gives an image and keys to the page, and asks for the files. */
async function openFiles(image: string, ...keys: readonly string[]): Promise<void> {
  const { page, drop } = opened();
  await drop(image, ...keys);
  if (keys.length > 0) await page.getByText(" opens it").first().waitFor();
  await page.getByRole("button", { name: /how the files/ }).click();
}

/** Encrypts an image of one layer with these files, for the key of the tests. */
async function encryptedImage(files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  const plain = directory();
  await layoutOf(plain, [layerOf(await tar(files), { mediaType: TAR })]);
  const encrypted = join(directory(), "encrypted");
  const recipients = [jwe.recipient(readFileSync(peerKey("rsa2048.pub.pem")))];
  await encrypt(plain, encrypted, { recipients });
  return encrypted;
}

describe("files", () => {
  const FILES = {
    "etc/passwd": "root:x:0:0\n",
    "etc/motd": "Grüße\r\nzwei\n",
    "usr/bin/tool": Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1]),
    "long.txt": "0123456789abcde\n".repeat(40_000),
  };

  it("are listed, read and saved", async () => {
    await openFiles(await encryptedImage(FILES), KEY);
    const { page } = opened();
    await page.getByRole("heading", { name: "7 files" }).waitFor();
    await page.getByRole("button", { name: "etc" }).click();
    await page.getByRole("button", { name: /^motd/ }).click();
    const viewer = page.locator(".viewer");
    await viewer.locator("pre").waitFor();
    expect(await viewer.locator("pre").textContent()).toBe("Grüße\nzwei\n");
    expect(await viewer.locator("h4").innerText()).toBe("/etc/motd");
    const download = page.waitForEvent("download");
    await viewer.getByRole("button", { name: "Save motd" }).click();
    const saved = await download;
    expect(saved.suggestedFilename()).toBe("motd");
    expect(readFileSync(await saved.path(), "utf8")).toBe(FILES["etc/motd"]);
  });

  it("are found by their paths", async () => {
    await openFiles(await encryptedImage(FILES), KEY);
    const { page } = opened();
    await page.getByLabel("Search by path").fill("ETC pass");
    await page.getByText("1 file found").waitFor();
    expect(await page.locator(".tree li").innerText()).toContain("/etc/passwd");
    await page.getByLabel("Search by path").fill("nothing");
    await page.getByText("0 files found").waitFor();
  });

  it("that are not text, or long, are not shown as a whole", async () => {
    await openFiles(await encryptedImage(FILES), KEY);
    const { page } = opened();
    await page.getByLabel("Search by path").fill("tool");
    await page.getByRole("button", { name: /tool/ }).click();
    await page.getByText("This is not text").waitFor();
    await page.getByLabel("Search by path").fill("long");
    await page.getByRole("button", { name: /long/ }).click();
    await page.getByText("The first 256 KiB of 625 KiB.").waitFor();
  });

  it("with hostile names and content show them as text", async () => {
    const html = "<img src=x onerror=alert(1)><script>alert(2)";
    await openFiles(await encryptedImage({ [html]: `${html}\u202e\u0007`, "a\u202eb": "x" }), KEY);
    const { page } = opened();
    await page.getByRole("button", { name: "a\\u{202e}b" }).waitFor();
    await page.getByLabel("Search by path").fill("onerror");
    await page.getByRole("button", { name: /onerror/ }).click();
    await page.locator("pre").waitFor();
    expect(await page.locator("pre").textContent()).toBe(`${html}\\u{202e}\\u{7}`);
    expect(await page.locator("img").count()).toBe(0);
  });

  it("of a plain image need no key", async () => {
    await openFiles(peerLayout("plain"));
    await opened().page.getByLabel("Search by path").waitFor();
  });

  it("of a directory with many are shown in parts", async () => {
    const names = Array.from({ length: 450 }, (_, i) => `file-${String(i).padStart(3, "0")}`);
    await openFiles(
      await encryptedImage(Object.fromEntries(names.map((name) => [name, name]))),
      KEY,
    );
    const { page } = opened();
    await page.getByRole("button", { name: "Show all 450" }).click();
    await page.getByRole("button", { name: /file-449/ }).waitFor();
    expect(await page.locator(".tree .entry").count()).toBe(450);
  });
});

describe("nothing is shown", () => {
  it("of a layer whose HMAC is wrong", async () => {
    await openFiles(
      damaged(ENCRYPTED, join(directory(), "d"), { layer: 1, consistent: true }),
      KEY,
    );
    const { page } = opened();
    await page.locator('[data-code="HMAC_MISMATCH"]').waitFor();
    expect(await page.locator(".tree").count()).toBe(0);
  });

  it("of a layer whose digest is wrong", async () => {
    await openFiles(damaged(ENCRYPTED, join(directory(), "d"), { layer: 1 }), KEY);
    const { page } = opened();
    await page.locator('[data-code="BLOB_DIGEST_MISMATCH"]').waitFor();
    expect(await page.locator(".tree").count()).toBe(0);
  });

  it("without the right key", async () => {
    const { page, drop } = opened();
    await drop(ENCRYPTED, peerKey("ec256.pkcs8.pem"));
    await page.getByText("does not open it").first().waitFor();
    await page.getByText("Add a private key of one of the recipients").waitFor();
    expect(await page.getByRole("button", { name: /how the files/ }).count()).toBe(0);
  });
});
