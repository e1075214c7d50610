import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  buildGoProgram,
  diffIds,
  hasProgram,
  layoutLayers,
  requirePeer,
  skopeo,
  succeed,
  temporaryDirectory,
} from "../interop/peers.js";
import { temporaryDirectories } from "../support/image.js";
import { useChromium } from "./chromium.js";
import { archiveOf, damaged, peerKey, peerLayout } from "./images.js";

const opened = useChromium();
const directory = temporaryDirectories();
const goDirectory = temporaryDirectory();
const hasSkopeo = hasProgram("skopeo", "--version");

const PLAIN = peerLayout("plain");

let go: string | undefined;
beforeAll(() => {
  go = buildGoProgram(goDirectory);
}, 300_000);

/** Saves the archive that the page offers, and unpacks it. */
async function saveArchive(name: string): Promise<string> {
  const { page } = opened();
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: new RegExp(`^Save ${name}`) }).click();
  const saved = await download;
  expect(saved.suggestedFilename()).toBe(name);
  const layout = directory();
  execFileSync("tar", ["-xf", await saved.path(), "-C", layout]);
  return layout;
}

async function decryptInPage(image: string, ...keys: readonly string[]): Promise<void> {
  const { page, drop } = opened();
  await drop(image, ...keys);
  await page.getByRole("button", { name: "Decrypt into an archive" }).click();
}

async function encryptInPage(image: string, ...keys: readonly string[]): Promise<void> {
  const { page, drop } = opened();
  await drop(image, ...keys);
  await page.getByText(/key files? added/).waitFor();
  await page.getByRole("button", { name: "Encrypt", exact: true }).click();
  await page.getByRole("button", { name: "Encrypt into an archive" }).click();
}

describe("an image of skopeo or of the Go program is decrypted into an archive", () => {
  it.each([
    ["skopeo-1.9.3/jwe-rsa2048-pem", ["rsa2048.pkcs8.pem"]],
    ["skopeo-1.9.3/jwe-multi-5", ["ec384.pkcs8.pem"]],
    ["skopeo-1.9.3/layer-1", ["rsa2048.pkcs8.pem"]],
    ["ocicrypt-1.3.2/jwe-ec256-pem", ["ec256.pkcs8.pem"]],
    ["ocicrypt-1.3.2/jwe-rsa2048-jwk-RSA-OAEP-256", ["rsa2048.pkcs8.pem"]],
    ["ocicrypt-1.3.2/jwe-ec521-jwk-ECDH-ES_A256KW", ["ec521.priv.ECDH-ES_A256KW.jwk"]],
  ])("%s", async (layout, keys) => {
    await decryptInPage(peerLayout(layout), ...keys.map(peerKey));
    const name = `${layout.split("/")[1] ?? ""}-decrypted.tar`;
    expect(diffIds(await saveArchive(name))).toEqual(diffIds(PLAIN));
  });

  it("unless it is damaged", async () => {
    const image = damaged(peerLayout("skopeo-1.9.3/jwe-rsa2048-pem"), join(directory(), "d"), {
      ...{ layer: 3, consistent: true },
    });
    await decryptInPage(image, peerKey("rsa2048.pkcs8.pem"));
    const { page } = opened();
    await page.locator('[data-code="HMAC_MISMATCH"]').waitFor();
    expect(await page.getByRole("button", { name: /^Save/ }).count()).toBe(0);
  });
});

describe("an image that the page encrypted", () => {
  /** For all of them at once, so that each reader has to find its own wrapped key. */
  const PUBLIC = ["rsa2048.pub.pem", "ec256.pub.pem", "cert-rsa3072.pem", "pgp/rsa2048.pub.asc"];

  const PRIVATE = [
    ["JWE and RSA", ["rsa2048.pkcs8.pem"]],
    ["JWE and EC", ["ec256.pkcs8.pem"]],
    ["PKCS#7", ["rsa3072.pkcs8.pem", "cert-rsa3072.pem"]],
    ["OpenPGP", ["pgp/rsa2048.sec.gpg"]],
  ] as const;

  let encrypted: string | undefined;

  /** The page encrypts only once, which is what takes the time. */
  async function encryptedLayout(): Promise<string> {
    if (encrypted === undefined) {
      await encryptInPage(archiveOf(PLAIN, join(directory(), "app.tar")), ...PUBLIC.map(peerKey));
      encrypted = await saveArchive("app-encrypted.tar");
    }
    return encrypted;
  }

  it.for(PRIVATE)("is opened by skopeo, with %s", async ([, names], context) => {
    requirePeer(context, "skopeo", hasSkopeo);
    const from = `oci:${await encryptedLayout()}:latest`;
    const decrypted = join(directory(), "decrypted");
    const keys = names.flatMap((name) => ["--decryption-key", peerKey(name)]);
    await skopeo("copy", "--quiet", ...keys, from, `oci:${decrypted}:latest`);
    expect(layoutLayers(decrypted)).toEqual(layoutLayers(PLAIN));
  });

  it.for(PRIVATE)("is opened by ocicrypt in Go, with %s", async ([, names], context) => {
    requirePeer(context, "go", go !== undefined);
    const plain = layoutLayers(PLAIN);
    const keys = names.flatMap((name) => ["-key", peerKey(name)]);
    for (const [i, { bytes, annotations }] of layoutLayers(await encryptedLayout()).entries()) {
      const file = join(directory(), "annotations.json");
      writeFileSync(file, JSON.stringify(annotations));
      const args = ["decrypt", ...keys, "-annotations", file];
      expect(await succeed(go!, args, { input: bytes })).toEqual(plain[i]!.bytes);
    }
  });

  it("is opened by the page, and equals the original", async () => {
    await encryptInPage(PLAIN, peerKey("ec256.pub.pem"));
    const encrypted = await saveArchive("plain-encrypted.tar");
    const { page } = opened();
    await page.reload();
    await decryptInPage(encrypted, peerKey("ec256.pkcs8.pem"));
    const name = `${encrypted.split("/").at(-1) ?? ""}-decrypted.tar`;
    expect(layoutLayers(await saveArchive(name))).toEqual(layoutLayers(PLAIN));
  });

  it("is opened by GnuPG", async (context) => {
    requirePeer(context, "gpg", hasProgram("gpg", "--version"));
    const [layer] = layoutLayers(await encryptedLayout());
    const wrapped = layer?.annotations["org.opencontainers.image.enc.keys.pgp"] ?? "";
    const home = directory();
    const gpg = (args: readonly string[], input?: Buffer): string =>
      execFileSync("gpg", ["--homedir", home, "--batch", "--quiet", ...args], {
        ...{ input, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"] },
      });
    gpg(["--import", peerKey("pgp/rsa2048.sec.gpg")]);
    expect(gpg(["--decrypt"], Buffer.from(wrapped, "base64"))).toContain('"symkey"');
  });

  it("is for the recipients that were chosen", async () => {
    const { page, drop } = opened();
    await drop(PLAIN, peerKey("ec256.pub.pem"), peerKey("rsa2048.pub.pem"));
    await page.getByText("2 key files added").waitFor();
    await page.getByRole("button", { name: "Encrypt", exact: true }).click();
    await page.getByRole("checkbox", { name: "rsa2048.pub.pem" }).uncheck();
    await page.getByRole("button", { name: "Encrypt into an archive" }).click();
    const [layer] = layoutLayers(await saveArchive("plain-encrypted.tar"));
    const wrapped = layer?.annotations["org.opencontainers.image.enc.keys.jwe"] ?? "";
    expect(wrapped.split(",")).toHaveLength(1);
  });
});

it("an image cannot be encrypted without a public key", async () => {
  const { page, drop } = opened();
  await drop(PLAIN);
  await page.getByRole("button", { name: "Encrypt", exact: true }).click();
  await page.getByText("Add the public keys or certificates of the recipients first.").waitFor();
});
