import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryDirectories } from "../support/image.js";
import { useChromium } from "./chromium.js";
import { peerKey, peerLayout } from "./images.js";

const opened = useChromium();
const directory = temporaryDirectories();

/** Packs a key and its certificate as PKCS#12, with the password `secret`. */
function pkcs12(name: string): string {
  const file = join(directory(), `${name}.p12`);
  const parts = ["-inkey", peerKey(`${name}.pkcs8.pem`), "-in", peerKey(`cert-${name}.pem`)];
  execFileSync("openssl", ["pkcs12", "-export", ...parts, "-passout", "pass:secret", "-out", file]);
  return file;
}

const RSA = "skopeo-1.9.3/jwe-rsa2048-pem";

const MIXED = "ocicrypt-1.3.2/mixed-jwe-pkcs7-pgp";

const KINDS: [string, string, () => string[]][] = [
  ["PEM", RSA, () => [peerKey("rsa2048.pkcs8.pem")]],
  ["PEM of PKCS#1", RSA, () => [peerKey("rsa2048.pkcs1.pem")]],
  ["DER", RSA, () => [peerKey("rsa2048.pkcs8.der")]],
  ["JWK", RSA, () => [peerKey("rsa2048.priv.jwk")]],
  ["an EC key", "ocicrypt-1.3.2/jwe-ec256-pem", () => [peerKey("ec256.sec1.pem")]],
  ["a key and its certificate", "ocicrypt-1.3.2/pkcs7-rsa3072", () => [peerKey("rsa3072.pkcs8.pem"), peerKey("cert-rsa3072.pem")]], // prettier-ignore
  ["a certificate and its key", "skopeo-1.9.3/pkcs7-multi", () => [peerKey("cert-rsa4096.pem"), peerKey("rsa4096.pkcs8.pem")]], // prettier-ignore
  ["OpenPGP, binary", "skopeo-1.9.3/pgp-rsa2048", () => [peerKey("pgp/rsa2048.sec.gpg")]],
  ["OpenPGP, armored", "ocicrypt-1.3.2/pgp-cv25519", () => [peerKey("pgp/cv25519.sec.asc")]],
  ["OpenPGP among others", MIXED, () => [peerKey("pgp/rsa2048.sec.asc")]],
];

const LOCKED: [string, string, () => string[]][] = [
  ["encrypted PKCS#8", RSA, () => [peerKey("rsa2048.pkcs8.enc-v2.pem")]],
  ["encrypted PEM of PKCS#1", RSA, () => [peerKey("rsa2048.pkcs1.enc-aes256.pem")]],
  ["PKCS#12", "ocicrypt-1.3.2/pkcs7-rsa3072", () => [pkcs12("rsa3072")]],
  ["PKCS#12 with JWE", "skopeo-1.9.3/jwe-multi-5", () => [pkcs12("rsa2048")]],
  ["OpenPGP", "ocicrypt-1.3.2/pgp-pass", () => [peerKey("pgp/pass.sec.gpg")]],
];

/** Every layer is opened by the key; the table repeats neither recipients nor keys. */
async function expectOpened(): Promise<void> {
  const { page } = opened();
  await page.getByText(" opens it").first().waitFor();
  await page.getByRole("button", { name: "Decrypt into an archive" }).click();
  await page.getByRole("button", { name: /^Save .*-decrypted\.tar/ }).waitFor();
  await page.getByText("Layer 3: diffID verified").waitFor();
}

describe("a key opens an image of a peer", () => {
  it.each(KINDS)("%s", async (_, layout, files) => {
    await opened().drop(peerLayout(layout), ...files());
    await expectOpened();
  });

  it.each(LOCKED)("%s with its password", async (_, layout, files) => {
    const { page, drop } = opened();
    await drop(peerLayout(layout), ...files());
    const input = page.getByLabel(/^Password of/);
    await input.fill("wrong");
    await input.press("Enter");
    await page.getByText("Wrong password.").waitFor();
    await input.fill("secret");
    await input.press("Enter");
    await expectOpened();
    expect(await page.getByLabel(/^Password of/).count()).toBe(0);
  });
});

it("a certificate that comes later belongs to the key that is there", async () => {
  const { page, drop } = opened();
  await drop(peerLayout("ocicrypt-1.3.2/pkcs7-rsa3072"), peerKey("rsa3072.pkcs8.pem"));
  await page.getByText("1 key file added").waitFor();
  await drop(peerKey("cert-rsa3072.pem"));
  await expectOpened();
});
