import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { decryptLayer, encryptLayer } from "../../src/index.js";
import { pgp } from "../../src/keywrap/pgp/index.js";
import type { Key } from "../../src/keywrap/types.js";
import { layoutDestination, layoutSource, type LayoutReference } from "../../src/store/index.js";
import { collect } from "../support/bytes.js";
import {
  buildGoProgram,
  hasProgram,
  layoutLayers,
  PLAIN_LAYOUT,
  requirePeer,
  run,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

const directory = temporaryDirectory();
const TAR = "application/vnd.oci.image.layer.v1.tar";
const PASSWORD = "secret";
const SECRET = Buffer.from("This is some secret text");

/** The parameters of gpg, by the name of the key, which is in its e-mail address. */
const KINDS: Record<string, string> = {
  rsa: "Key-Type: RSA\nKey-Length: 3072\nSubkey-Type: RSA\nSubkey-Length: 3072\n%no-protection",
  locked: `Key-Type: RSA\nKey-Length: 2048\nSubkey-Type: RSA\nSubkey-Length: 2048\nPassphrase: ${PASSWORD}`,
  dsa: "Key-Type: DSA\nKey-Length: 2048\nSubkey-Type: ELG-E\nSubkey-Length: 2048\n%no-protection",
  cv25519: eccKind("EDDSA", "ed25519", "cv25519"),
  nistp256: eccKind("ECDSA", "nistp256", "nistp256"),
  nistp384: eccKind("ECDSA", "nistp384", "nistp384"),
  nistp521: eccKind("ECDSA", "nistp521", "nistp521"),
};
const names = Object.keys(KINDS);
/** Those that golang.org/x/crypto/openpgp, of ocicrypt up to 1.3.0, knows. */
const OLD_KINDS = ["rsa", "dsa"];

function eccKind(type: string, curve: string, encryptionCurve: string): string {
  return `Key-Type: ${type}\nKey-Curve: ${curve}\nSubkey-Type: ECDH\nSubkey-Curve: ${encryptionCurve}\n%no-protection`;
}

const hasGpg = hasProgram("gpg", "--version");
const hasSkopeo = hasProgram("skopeo", "--version");
const goProgram = buildGoProgram(directory);
/** One key ring with all keys, and one without those that would hide others from old ocicrypt. */
const allHome = join(directory, "all");
const oldHome = join(directory, "old");

async function gpg(
  home: string,
  args: readonly string[],
  input: Uint8Array = new Uint8Array(),
): Promise<Buffer> {
  const fixed = ["--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback"];
  const trust = ["--passphrase", PASSWORD, "--trust-model", "always", "--homedir", home];
  const result = await run("gpg", [...fixed, ...trust, ...args], { input });
  if (result.status !== 0) throw new Error(result.stderr);
  return result.stdout;
}

async function makeKey(home: string, name: string, email: string, kind: string): Promise<void> {
  const about = `Name-Real: ${name}\nName-Email: ${email}\nExpire-Date: 0`;
  await gpg(home, ["--gen-key"], Buffer.from(`${kind}\n${about}\n%commit\n`));
}

beforeAll(async () => {
  if (!hasGpg) return;
  for (const home of [allHome, oldHome]) mkdirSync(home, { mode: 0o700 });
  for (const [name, kind] of Object.entries(KINDS)) {
    await makeKey(allHome, `Key ${name}`, `${name}@example.org`, kind);
  }
  for (const name of names) {
    const secret = await gpg(allHome, ["--export-secret-keys", "--", `<${name}@example.org>`]);
    writeFileSync(secretFile(name), secret);
    if (OLD_KINDS.includes(name)) await gpg(oldHome, ["--import"], secret);
  }
});

afterAll(async () => {
  if (!hasGpg) return;
  for (const home of [allHome, oldHome]) {
    await run("gpgconf", ["--homedir", home, "--kill", "all"]);
  }
});

/** As a user has it: `pgp.recipient` asks the gpg of this environment. */
async function inHome<Result>(home: string, action: () => Promise<Result>): Promise<Result> {
  process.env.GNUPGHOME = home;
  try {
    return await action();
  } finally {
    delete process.env.GNUPGHOME;
  }
}

function secretFile(name: string): string {
  return join(directory, `${name}.gpg`);
}

function secretKey(name: string): Key {
  return pgp.key(readFileSync(secretFile(name)), { password: PASSWORD });
}

describe("GnuPG", () => {
  const needs = (context: TestContext): void => {
    requirePeer(context, "gpg", hasGpg);
  };

  it.for(names)("reads a message that was wrapped for its %s key", async (name, context) => {
    needs(context);
    const wrapped = await inHome(allHome, () => pgp.recipient(`${name}@example.org`).wrap(SECRET));
    expect(await gpg(allHome, ["--decrypt"], wrapped)).toEqual(SECRET);
  });

  it.for(names)("writes a message for its %s key that opens here", async (name, context) => {
    needs(context);
    const wrapped = await gpg(allHome, ["--encrypt", "-r", `${name}@example.org`], SECRET);
    const opened = await secretKey(name).unwrap(wrapped);
    expect(opened && Buffer.from(opened)).toEqual(SECRET);
  });

  it.for(names)("writes a message for its hidden %s key that opens here", async (name, context) => {
    needs(context);
    const wrapped = await gpg(allHome, ["--encrypt", "-R", `${name}@example.org`], SECRET);
    const opened = await secretKey(name).unwrap(wrapped);
    expect(opened && Buffer.from(opened)).toEqual(SECRET);
    const other = secretKey(name === "rsa" ? "dsa" : "rsa");
    expect(await other.unwrap(wrapped)).toBeNull();
  });

  it("writes a message for several keys that each of them opens here", async (context) => {
    needs(context);
    const recipients = names.flatMap((name) => ["-r", `${name}@example.org`]);
    const wrapped = await gpg(allHome, ["--encrypt", ...recipients], SECRET);
    for (const name of names) {
      const opened = await secretKey(name).unwrap(wrapped);
      expect(opened && Buffer.from(opened)).toEqual(SECRET);
    }
  });

  it("finds its keys by each of their names", async (context) => {
    needs(context);
    const home = join(directory, "odd");
    mkdirSync(home, { mode: 0o700 });
    try {
      const kind = KINDS.cv25519 ?? "";
      await makeKey(home, "Jürgen Müller", "juergen@example.org", kind);
      await makeKey(home, "100% *odd* = [name]", "odd@example.org", kind);
      const plain = kind.replace(
        "%no-protection",
        "Name-Real: No Email\n%no-protection\n%commit\n",
      );
      await gpg(home, ["--gen-key"], Buffer.from(plain));
      const listing = (
        await gpg(home, ["--with-colons", "--list-keys", "odd@example.org"])
      ).toString();
      const [fingerprint = ""] = /(?<=^fpr:+)[0-9A-F]{40}/m.exec(listing) ?? [];
      process.env.LC_ALL = "C";
      for (const name of ["Jürgen Müller", "100% *odd* = [name]", "No Email", fingerprint]) {
        const wrapped = await inHome(home, () => pgp.recipient(name).wrap(SECRET));
        expect(await gpg(home, ["--decrypt"], wrapped)).toEqual(SECRET);
      }
      const nobody = inHome(home, () => pgp.recipient("odd").wrap(SECRET));
      await expect(nobody).rejects.toMatchObject({ code: "RECIPIENT_NOT_FOUND" });
    } finally {
      delete process.env.LC_ALL;
      await run("gpgconf", ["--homedir", home, "--kill", "all"]);
    }
  });

  it("rejects revoked keys, as this library does", async (context) => {
    needs(context);
    const home = join(directory, "revoked");
    mkdirSync(home, { mode: 0o700 });
    try {
      await gpg(home, ["--import", join(VECTORS, "peers/keys/pgp/expired.pub.gpg")]);
      await makeKey(home, "Key gone", "gone@example.org", KINDS.cv25519 ?? "");
      const wrapped = await inHome(home, () => pgp.recipient("gone@example.org").wrap(SECRET));
      const secret = pgp.key(await gpg(home, ["--export-secret-keys", "--", "gone@example.org"]));
      const listing = (
        await gpg(home, ["--with-colons", "--list-keys", "gone@example.org"])
      ).toString();
      const [fingerprint = ""] = /(?<=^fpr:+)[0-9A-F]{40}/m.exec(listing) ?? [];
      const certificate = readFileSync(
        join(home, "openpgp-revocs.d", `${fingerprint}.rev`),
        "utf8",
      );
      await gpg(home, ["--import"], Buffer.from(certificate.replace(/^:---/m, "---")));
      for (const [name, code] of [
        ["gone@example.org", "KEY_REVOKED"],
        ["expired@example.org", "KEY_EXPIRED"],
      ] as const) {
        await expect(gpg(home, ["--encrypt", "-r", name], SECRET)).rejects.toThrow();
        const wrap = inHome(home, () => pgp.recipient(name).wrap(SECRET));
        await expect(wrap).rejects.toMatchObject({ code });
      }
      const opened = await secret.unwrap(wrapped);
      expect(opened && Buffer.from(opened)).toEqual(SECRET);
    } finally {
      await run("gpgconf", ["--homedir", home, "--kill", "all"]);
    }
  });
});

describe("ocicrypt 1.3.2", () => {
  const plain = randomBytes(100_000);
  const digest = `sha256:${createHash("sha256").update(plain).digest("hex")}`;
  const needs = (context: TestContext): string => {
    requirePeer(context, "gpg", hasGpg);
    requirePeer(context, "go", goProgram !== undefined);
    return goProgram ?? "";
  };

  it.for(names)("opens a layer that was wrapped for a %s key", async (name, context) => {
    const program = needs(context);
    const { annotations, ciphertext } = await inHome(allHome, async () => {
      const layer = encryptLayer(plain, {
        descriptor: { mediaType: TAR, digest, size: plain.byteLength },
        recipients: [pgp.recipient(`${name}@example.org`)],
      });
      const ciphertext = await collect(layer.stream);
      return { ciphertext, annotations: (await layer.finalize()).annotations };
    });
    const file = join(directory, `ours-${name}.json`);
    writeFileSync(file, JSON.stringify(annotations));
    const password = name === "locked" ? `:pass=${PASSWORD}` : "";
    const key = `${secretFile(name)}${password}`;
    const args = ["decrypt", "-key", key, "-annotations", file];
    const result = await run(program, args, { input: ciphertext });
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout.equals(plain)).toBe(true);
  });

  it.for(names)("wraps for a %s key, and the layer opens here", async (name, context) => {
    const program = needs(context);
    const file = join(directory, `theirs-${name}.json`);
    const about = ["-digest", digest, "-mediatype", TAR, "-annotations", file];
    const args = ["encrypt", "-recipient", `pgp:${name}@example.org`, ...about];
    const result = await run(program, args, { input: plain, env: { GNUPGHOME: allHome } });
    expect(result).toMatchObject({ status: 0 });
    const annotations = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
    const { stream } = await decryptLayer(result.stdout, {
      descriptor: { mediaType: `${TAR}+encrypted`, annotations },
      keys: [secretKey(name)],
    });
    expect(Buffer.from(await collect(stream)).equals(plain)).toBe(true);
  });

  it("wraps for all keys at once, and each of them opens the layer here", async (context) => {
    const program = needs(context);
    const file = join(directory, "theirs-all.json");
    const recipients = names.flatMap((name) => ["-recipient", `pgp:${name}@example.org`]);
    const args = ["encrypt", ...recipients, "-digest", digest, "-annotations", file];
    const result = await run(program, args, { input: plain, env: { GNUPGHOME: allHome } });
    expect(result).toMatchObject({ status: 0 });
    const annotations = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
    for (const name of names) {
      const { stream } = await decryptLayer(result.stdout, {
        descriptor: { mediaType: `${TAR}+encrypted`, annotations },
        keys: [secretKey(name)],
      });
      expect(Buffer.from(await collect(stream)).equals(plain)).toBe(true);
    }
  });
});

describe("skopeo of Debian (ocicrypt 1.0.3)", () => {
  const needs = (context: TestContext): void => {
    requirePeer(context, "gpg", hasGpg);
    requirePeer(context, "skopeo", hasSkopeo);
  };
  const image = (path: string): LayoutReference => ({ path, tag: "latest" });
  const copy = async (from: string, to: string, ...args: string[]): Promise<void> => {
    const images = [`oci:${from}:latest`, `oci:${to}:latest`];
    const all = ["--insecure-policy", "copy", "--quiet", ...args, ...images];
    const result = await run("skopeo", all, { env: { GNUPGHOME: oldHome } });
    expect(result).toMatchObject({ status: 0 });
  };

  it.for(OLD_KINDS)("opens a layer that was encrypted for a %s key", async (name, context) => {
    needs(context);
    const encrypted = join(directory, `skopeo-ours-${name}`);
    await inHome(oldHome, async () =>
      encryptImage(layoutSource(image(PLAIN_LAYOUT)), await layoutDestination(image(encrypted)), {
        recipients: [pgp.recipient(`${name}@example.org`)],
      }),
    );
    const decrypted = join(directory, `skopeo-ours-${name}-plain`);
    await copy(encrypted, decrypted, "--decryption-key", secretFile(name));
    expect(layoutLayers(decrypted)).toEqual(layoutLayers(PLAIN_LAYOUT));
  });

  it.for(OLD_KINDS)("encrypts for a %s key, and the layer opens here", async (name, context) => {
    needs(context);
    const encrypted = join(directory, `skopeo-theirs-${name}`);
    await copy(PLAIN_LAYOUT, encrypted, "--encryption-key", `pgp:${name}@example.org`);
    const decrypted = join(directory, `skopeo-theirs-${name}-plain`);
    await decryptImage(layoutSource(image(encrypted)), await layoutDestination(image(decrypted)), {
      keys: [secretKey(name)],
    });
    // skopeo compressed the one layer that was not before it encrypted it.
    const plain = layoutLayers(PLAIN_LAYOUT).filter(({ mediaType }) => mediaType.endsWith("gzip"));
    expect(layoutLayers(decrypted)).toEqual(expect.arrayContaining(plain));
    expect(plain).toHaveLength(3);
  });
});
