import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe as suite, expect, it } from "vitest";
import { describe } from "../../../src/keywrap/pgp/message.js";
import { pgp } from "../../../src/keywrap/pgp/index.js";
import { codeOf } from "./support.js";

const PLAIN = Buffer.from("private options");
const RING = fileURLToPath(new URL("../../../vectors/peers/keys/pgp/ALL.pub.gpg", import.meta.url));
const SECRETS = RING.replace("ALL.pub", "rsa2048.sec");

// A script in the place of gpg shows how it is called and what happens when it misbehaves.
suite.skipIf(process.platform === "win32")("the key ring of gpg", () => {
  const path = process.env.PATH;
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "ocicrypt-pgp-"));
  });

  afterEach(() => {
    process.env.PATH = path;
    rmSync(folder, { recursive: true });
  });

  function installGpg(script: string): void {
    const file = join(folder, "gpg");
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
    process.env.PATH = `${folder}${delimiter}${path ?? ""}`;
  }

  it("gets the name in a form that is never an option or a command", async () => {
    const log = join(folder, "log");
    installGpg(`for each; do echo "$each"; done > '${log}'; cat '${RING}'`);
    const name = "--yes; $(id) `id` & *";
    const recipient = pgp.recipient(name);
    expect(await codeOf(() => recipient.wrap(PLAIN))).toBe("RECIPIENT_NOT_FOUND");
    const args = readFileSync(log, "utf8").split("\n").slice(0, -1);
    expect(args.slice(args.indexOf("--export"))).toEqual(["--export", "--", `*${name}`]);
  });

  it("is asked for key ids as such", async () => {
    const log = join(folder, "log");
    installGpg(`for each; do echo "$each"; done > '${log}'; cat '${RING}'`);
    const wrapped = await pgp.recipient("2191 DBCA 0F29 ACA9").wrap(PLAIN);
    expect(describe(wrapped)).toEqual([{ algorithm: "RSA", keyId: "0xae8ee6e641d41feb" }]);
    expect(readFileSync(log, "utf8")).toMatch(/--\n0x2191dbca0f29aca9\n$/);
  });

  it("may return more keys than the named one", async () => {
    installGpg(`cat '${RING}'`);
    const wrapped = await pgp.recipient("rsa4096@example.org").wrap(PLAIN);
    expect(describe(wrapped)).toEqual([{ algorithm: "RSA", keyId: "0xaf2cef05dce33ce7" }]);
  });

  const failures: [string, string, string][] = [
    ["it has no such key", "exit 0", "RECIPIENT_NOT_FOUND"],
    ["it fails for that", "echo '[GNUPG:] EXPORT_RES 0 0 0' >&2; exit 2", "RECIPIENT_NOT_FOUND"],
    ["it fails", "echo 'gpg: Fatal: no home' >&2; exit 2", "GPG_FAILED"],
    ["it dies", "kill -9 $$", "GPG_FAILED"],
    ["it prints no keys", "echo hello", "KEY_UNRECOGNIZED"],
    ["it prints without end", "exec cat /dev/zero", "GPG_FAILED"],
    ["it prints secret keys", `cat '${SECRETS}'`, "KEY_IS_PRIVATE"],
  ];
  it.each(failures)("%s", async (_, script, code) => {
    installGpg(script);
    const recipient = pgp.recipient("rsa2048@example.org");
    expect(await codeOf(() => recipient.wrap(PLAIN))).toBe(code);
  });

  it("a damaged key in it does not prevent the use of another", async () => {
    installGpg(`cat '${RING}'; echo '[GNUPG:] EXPORT_RES 8 0 8' >&2; exit 2`);
    const wrapped = await pgp.recipient("rsa2048@example.org").wrap(PLAIN);
    expect(describe(wrapped)).toHaveLength(1);
  });

  it("says why gpg failed", async () => {
    installGpg("echo 'gpg: Fatal: no home' >&2; exit 2");
    await expect(pgp.recipient("Rsa Two").wrap(PLAIN)).rejects.toThrow(/gpg: Fatal: no home/);
  });

  it("that is missing is an error, and drops no recipient", async () => {
    process.env.PATH = folder;
    const recipient = pgp.recipient("rsa2048@example.org");
    expect(await codeOf(() => recipient.wrap(PLAIN))).toBe("GPG_NOT_FOUND");
  });

  it("is not used if a key ring is given", async () => {
    process.env.PATH = folder;
    const keyRing = new Uint8Array(readFileSync(RING));
    const wrapped = await pgp.recipient("rsa2048@example.org", { keyRing }).wrap(PLAIN);
    expect(describe(wrapped)).toHaveLength(1);
  });

  it("is not waited for after an abort", async () => {
    installGpg("exec sleep 60");
    const controller = new AbortController();
    const wrap = pgp.recipient("Rsa Two").wrap(PLAIN, { signal: controller.signal });
    setTimeout(() => {
      controller.abort(new Error("enough"));
    }, 50);
    await expect(wrap).rejects.toThrow("enough");
    const { signal } = controller;
    await expect(pgp.recipient("Rsa Two").wrap(PLAIN, { signal })).rejects.toThrow("enough");
  });
});
