import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { hasProgram, VECTORS } from "../peers.js";

const EXAMPLE = fileURLToPath(new URL("../../../examples/key-provider.js", import.meta.url));

/** Of every key that has one. */
export const PASSWORD = "secret";

export const HAS_GPG: boolean = hasProgram("gpg", "--version");
export const HAS_SOFTHSM: boolean = hasProgram("softhsm2-util", "--version");

/** Key rings by name. A key that an old ocicrypt cannot read would hide the keys next to it. */
export interface KeyRings {
  rsa: string;
  cv25519: string;
  nistp256: string;
}

/** Makes the key rings, and in the last of them a key, whose secret half goes to a file. */
export function makeKeyRings(directory: string, nistp256File: string): KeyRings {
  const home = (name: string): string => join(directory, `gpg-${name}`);
  const rings = { rsa: home("rsa"), cv25519: home("cv25519"), nistp256: home("nistp256") };
  if (!HAS_GPG) return rings;
  const gpg = (ring: string, args: readonly string[], input = ""): Buffer =>
    execFileSync(
      "gpg",
      [
        ...["--homedir", ring, "--batch", "--quiet", "--no-tty"],
        ...["--pinentry-mode", "loopback", "--passphrase", PASSWORD, ...args],
      ],
      { input, stdio: ["pipe", "pipe", "pipe"] },
    );
  for (const ring of Object.values(rings)) mkdirSync(ring, { mode: 0o700 });
  afterAll(() => {
    for (const ring of Object.values(rings)) {
      execFileSync("gpgconf", ["--homedir", ring, "--kill", "all"]);
    }
  });
  const secret = (name: string): string => join(VECTORS, "peers/keys/pgp", `${name}.sec.gpg`);
  gpg(rings.rsa, ["--import", secret("rsa2048"), secret("pass")]);
  gpg(rings.cv25519, ["--import", secret("cv25519")]);
  const kind = "Key-Type: ECDSA\nKey-Curve: nistp256\nSubkey-Type: ECDH\nSubkey-Curve: nistp256";
  const about = "Name-Real: Nist\nName-Email: nistp256@example.org\nExpire-Date: 0";
  gpg(rings.nistp256, ["--gen-key"], `${kind}\n${about}\n%no-protection\n%commit\n`);
  writeFileSync(nistp256File, gpg(rings.nistp256, ["--export-secret-keys"]));
  return rings;
}

/** Makes a SoftHSM token with an RSA key, and a key file that finds it there. */
export function makeToken(directory: string, privateKey: string, keyFile: string): void {
  const [tokens, config, pin] = [
    join(directory, "tokens"),
    join(directory, "softhsm2.conf"),
    "4711",
  ];
  mkdirSync(tokens);
  writeFileSync(config, `directories.tokendir = ${tokens}\n`);
  const uri = `pkcs11:token=matrix;object=key?module-name=softhsm2&pin-value=${pin}`;
  const yaml = `pkcs11:\n  uri: ${uri}\nmodule:\n  env:\n    SOFTHSM2_CONF: ${config}\n`;
  writeFileSync(keyFile, yaml);
  if (!HAS_SOFTHSM) return;
  const softhsm = (...args: string[]): void => {
    const env = { ...process.env, SOFTHSM2_CONF: config };
    execFileSync("softhsm2-util", [...args, "--pin", pin], { env, stdio: "pipe" });
  };
  softhsm("--init-token", "--free", "--label", "matrix", "--so-pin", pin);
  softhsm("--import", privateKey, "--token", "matrix", "--label", "key", "--id", "01");
}

/**
 * Starts the example of a key provider as a server, and configures it for all implementations as
 * the providers `command` and `server`. `KEY_FILE` has to be in the environment.
 */
export async function startProvider(
  directory: string,
  keyFile: string,
): Promise<{ config: string; stop: () => void }> {
  writeFileSync(keyFile, randomBytes(32));
  const child = spawn(process.execPath, [EXAMPLE, "--grpc", "127.0.0.1:0"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, KEY_FILE: keyFile },
  });
  const address = await new Promise<string>((resolve, reject) => {
    child.once("exit", () => {
      reject(new Error("the key provider ended"));
    });
    child.stdout.once("data", (line: Buffer) => {
      resolve(line.toString().trim().replace("listening on ", ""));
    });
  });
  const providers = {
    command: { cmd: { path: process.execPath, args: [EXAMPLE] } },
    server: { grpc: address },
  };
  const config = join(directory, "providers.json");
  writeFileSync(config, JSON.stringify({ "key-providers": providers }));
  return {
    config,
    stop: () => {
      child.kill();
    },
  };
}
