import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { temporaryDirectories } from "../support/image.js";
import { useChromium } from "./chromium.js";
import { archiveOf, peerKey, peerLayout } from "./images.js";

const opened = useChromium();
const directory = temporaryDirectories();

const LAYOUT = peerLayout("skopeo-1.9.3/jwe-rsa2048-pem");
const ENCRYPTED_KEY = peerKey("rsa2048.pkcs8.enc-v2.pem");

function gzipped(file: string): string {
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file)));
  return `${file}.gz`;
}

async function status(): Promise<string> {
  const { page } = opened();
  await page.waitForFunction(() => {
    const text = document.getElementById("status")?.textContent ?? "";
    return text !== "" && !text.startsWith("Reading");
  });
  await page.locator("article[aria-busy]").waitFor({ state: "detached" });
  return page.locator("#status").innerText();
}

describe("an image is opened", () => {
  it.each([
    ["a dropped directory", () => LAYOUT],
    ["a dropped archive", () => archiveOf(LAYOUT, join(directory(), "app.tar"))],
    ["a dropped archive with gzip", () => gzipped(archiveOf(LAYOUT, join(directory(), "app.tar")))],
  ])("as %s", async (_, file) => {
    const { page, drop } = opened();
    await drop(file());
    expect(await status()).toBe("1 image opened.");
    expect(await page.locator("tbody tr").count()).toBe(4);
    const row = page.locator("tbody tr").first();
    expect(await row.innerText()).toMatch(
      /encrypted[^]*125 B[^]*tar\+gzip\+encrypted[^]*JWE RSA-OAEP/,
    );
  });

  it("as a chosen file", async () => {
    const { page } = opened();
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Choose files" }).press("Enter");
    await (await chooser).setFiles(archiveOf(LAYOUT, join(directory(), "app.tar")));
    expect(await status()).toBe("1 image opened.");
  });

  it("as a chosen directory", async () => {
    const { page } = opened();
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Choose a directory" }).press("Enter");
    await (await chooser).setFiles(LAYOUT);
    expect(await status()).toBe("1 image opened.");
    expect(await page.getByRole("heading", { level: 2 }).last().innerText()).toBe(
      "jwe-rsa2048-pem",
    );
  });

  it("once if it is given twice", async () => {
    const { page, drop } = opened();
    const archive = archiveOf(LAYOUT, join(directory(), "app.tar"));
    await drop(archive, archive);
    expect(await status()).toBe("1 image opened, 1 already here.");
    await drop(peerKey("rsa2048.pkcs8.pem"), peerKey("rsa2048.pkcs8.pem"));
    await page.getByText("1 key file added, 1 already here.").waitFor();
    expect(await page.locator("article").count()).toBe(1);
  });
});

describe("a key", () => {
  it("says which layers it opens, and why it does not open others", async () => {
    const { page, drop } = opened();
    await drop(LAYOUT, peerKey("rsa2048.pkcs8.pem"), peerKey("ec256.pkcs8.pem"));
    await status();
    const keys = page.locator("tbody tr").first().locator("td").last();
    await page.getByText("rsa2048.pkcs8.pem opens it").first().waitFor();
    expect(await keys.innerText()).toContain("rsa2048.pkcs8.pem opens it");
    expect(await keys.innerText()).toContain("ec256.pkcs8.pem does not open it: ");
    await page.getByRole("button", { name: "Remove rsa2048.pkcs8.pem" }).click();
    await page.getByText("rsa2048.pkcs8.pem opens it").first().waitFor({ state: "detached" });
    expect(await keys.innerText()).not.toContain("rsa2048");
  });

  it("is unlocked after three wrong passwords", async () => {
    const { page, drop } = opened();
    await drop(LAYOUT, ENCRYPTED_KEY);
    await status();
    const input = page.getByLabel("Password of rsa2048.pkcs8.enc-v2.pem");
    for (const said of [
      "Wrong password.",
      "Wrong password, 2 times.",
      "Wrong password, 3 times.",
    ]) {
      await input.fill("wrong");
      await input.press("Enter");
      await page.getByText(said).waitFor();
      expect(await input.inputValue()).toBe("");
    }
    await input.fill("secret");
    await input.press("Enter");
    await page.getByText("rsa2048.pkcs8.enc-v2.pem opens it").first().waitFor();
    expect(await page.content()).not.toContain("secret");
  });

  it("has a name of its own, although another key has the same", async () => {
    const { page, drop } = opened();
    const files = ["rsa2048.pkcs8.pem", "ec256.pkcs8.pem"].map((name) => {
      const copy = join(directory(), "private.pem");
      cpSync(peerKey(name), copy);
      return copy;
    });
    await drop(LAYOUT, ...files.slice(0, 1));
    await page.getByText("private.pem opens it").first().waitFor();
    // Chromium gives names of their own to files that are dropped together.
    await drop(...files.slice(1));
    await page.getByText("private.pem (2) does not open it: ").first().waitFor();
    const keys = page.locator("tbody tr").first().locator("td").last();
    expect(await keys.innerText()).toContain("private.pem opens it");
  });

  it("that is locked can be removed", async () => {
    const { page, drop } = opened();
    await drop(ENCRYPTED_KEY);
    await status();
    await page.getByRole("button", { name: "Remove rsa2048" }).click();
    await page.getByText("No keys yet.").waitFor();
  });
});

describe("anything else is named as such", () => {
  const files: [string, Buffer, string][] = [
    ["text", Buffer.from("hello"), "neither PEM nor DER nor JWK"],
    ["an empty file", Buffer.alloc(0), "it is empty"],
    ["random bytes", Buffer.alloc(5000, 0xa7), "neither PEM nor DER nor JWK"],
    ["a compressed archive", gzipSync(Buffer.alloc(20_000)), "There is no OCI layout"],
    ["zstd", Buffer.from("28b52ffd00", "hex"), "compressed with zstd"],
    ["a key without its end", Buffer.from("-----BEGIN PRIVATE KEY-----\n"), "its PEM block has no end"], // prettier-ignore
    [
      "a Kubernetes Secret",
      Buffer.from("apiVersion: v1\nkind: Secret\ndata: {}\n"),
      "a Kubernetes Secret",
    ],
    ["a large file", Buffer.alloc(2_000_000, 7), "wrong checksum"],
  ];

  it.each(files)("%s", async (_, content, says) => {
    const { page, drop } = opened();
    const file = join(directory(), "file.bin");
    writeFileSync(file, content);
    await drop(file);
    expect(await status()).toBe("1 not recognised.");
    expect(await page.locator(".problem").innerText()).toContain(says);
    await page.getByRole("button", { name: "Dismiss" }).click();
    expect(await page.locator(".problem").count()).toBe(0);
  });

  it("an archive that was cut off", async () => {
    const { page, drop } = opened();
    const whole = archiveOf(LAYOUT, join(directory(), "whole.tar"));
    const file = join(directory(), "cut.tar");
    writeFileSync(file, readFileSync(whole).subarray(0, 100_000));
    await drop(file);
    expect(await status()).toBe("1 not recognised.");
    expect(await page.locator(".problem").innerText()).toContain("truncated");
  });

  it("each of 50 files at once, without missing the image among them", async () => {
    const { page, drop } = opened();
    const folder = directory();
    const files = Array.from({ length: 50 }, (_, i) => {
      const file = join(folder, `${String(i)}.txt`);
      writeFileSync(file, `file ${String(i)}\n`);
      return file;
    });
    await drop(...files.slice(0, 25), LAYOUT, ...files.slice(25));
    expect(await status()).toBe("1 image opened, 50 not recognised.");
    expect(await page.locator(".problem").count()).toBe(20);
  });

  it("a directory of keys, file by file", async () => {
    const { drop } = opened();
    const folder = join(directory(), "keys");
    mkdirSync(folder);
    for (const name of ["rsa2048.pkcs8.pem", "ec256.pkcs8.pem"]) {
      cpSync(peerKey(name), join(folder, name));
    }
    await drop(folder);
    expect(await status()).toBe("2 key files added.");
  });

  it("names with HTML and bidi characters, as text", async () => {
    const { page, drop } = opened();
    const name = (kind: string): string => `<img src=x onerror=alert(1)>\u202egnp.${kind}`;
    const shown = (kind: string): string => `<img src=x onerror=alert(1)>\\u{202e}gnp.${kind}`;
    const folder = directory();
    writeFileSync(join(folder, name("exe")), "hello");
    cpSync(peerKey("rsa2048.pkcs8.pem"), join(folder, name("pem")));
    cpSync(ENCRYPTED_KEY, join(folder, name("key")));
    archiveOf(LAYOUT, join(folder, name("tar")));
    await drop(...["exe", "pem", "key", "tar"].map((kind) => join(folder, name(kind))));
    await page.getByText(" opens it").first().waitFor();
    expect(await page.locator(".problem").innerText()).toContain(shown("exe"));
    expect(await page.locator("#keys").innerText()).toContain(shown("pem"));
    expect(await page.locator("#keys label").innerText()).toBe(`Password of ${shown("key")}`);
    expect(await page.locator("#images h2").innerText()).toBe(shown("tar"));
    expect(await page.locator("tbody tr").first().innerText()).toContain(
      `${shown("pem")} opens it`,
    );
    expect(await page.content()).not.toContain("\u202e");
    expect(await page.locator("img").count()).toBe(0);
  });
});
