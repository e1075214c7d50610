import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { keysFromFiles } from "../../src/keywrap/key-files/index.js";
import { readPrivateKeys } from "../../src/keys/private-key.js";
import { readPublicKeys } from "../../src/keys/public-key.js";
import { expectCode } from "../support/codes.js";
import { nodeKey } from "../support/keys.js";

const file = (name: string): Buffer =>
  readFileSync(new URL(`fixtures/openssh/${name}`, import.meta.url));
const spki = (name: string): Buffer =>
  createPublicKey(file(`${name}.spki.pem`)).export({ type: "spki", format: "der" });

const PLAIN = ["rsa", "ecdsa-256", "ecdsa-384", "ecdsa-521"];
const LOCKED = ["rsa", "aes128-cbc", "aes256-ctr", "aes256-gcm@openssh.com", "3des-cbc"].map(
  (name) => `locked-${name}`,
);

describe("OpenSSH public keys", () => {
  it.each([...PLAIN, ...LOCKED])("reads %s", (name) => {
    for (const input of [file(`${name}.pub`), file(`${name}.pub`).toString()]) {
      const [read, ...more] = readPublicKeys(input);
      expect(more).toEqual([]);
      expect(nodeKey(read!.key).export({ type: "spki", format: "der" })).toEqual(spki(name));
    }
  });

  it("reads all the keys of authorized_keys", () => {
    const options = 'from="10.0.0.0/8 ,x",command="echo ssh-rsa AAAA" ';
    const text = `# me\r\n\r\n${options}${file("rsa.pub").toString()}\n${file("ecdsa-384.pub").toString()}`;
    expect(jwe.recipients(text).map(({ algorithm }) => algorithm)).toEqual([
      "RSA-OAEP",
      "ECDH-ES+A256KW",
    ]);
  });

  it.each<[string, string, RegExp]>([
    ["Ed25519", file("ed25519.pub").toString(), /Ed25519 can sign but not decrypt.*-t ecdsa/],
    [
      "one among others",
      `${file("rsa.pub").toString()}${file("ed25519.pub").toString()}`,
      /Ed25519/,
    ],
    ["DSA", "ssh-dss AAAAB3NzaC1kc3MAAACBAP", /ssh-dss/],
    ["a security key", "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9", /sk-ssh-ed25519/],
    ["a certificate", "ssh-rsa-cert-v01@openssh.com AAAAHHNzaC1yc2EtY2VydC12MDF", /certificate/],
  ])("rejects %s by name", async (_, text, reason) => {
    const error = await expectCode(() => jwe.recipients(text), "KEY_UNSUPPORTED");
    expect(error.message).toMatch(reason);
  });

  const [, base64 = ""] = file("ecdsa-256.pub").toString().split(" ");
  it.each<[string, string]>([
    ["a key that is cut off", `ecdsa-sha2-nistp256 ${base64.slice(0, 60)}`],
    ["a key of another type than its line's", `ecdsa-sha2-nistp384 ${base64}`],
    [
      "a line that is broken in two",
      `ecdsa-sha2-nistp256 ${base64.slice(0, 60)}\n${base64.slice(60)}`,
    ],
  ])("rejects %s", async (_, text) => {
    await expectCode(() => readPublicKeys(text), "KEY_UNRECOGNIZED");
  });
});

describe("OpenSSH private keys", () => {
  it.each(PLAIN)("reads %s", async (name) => {
    const [read] = await readPrivateKeys(file(name));
    expect(createPublicKey(nodeKey(read!.key)).export({ type: "spki", format: "der" })).toEqual(
      spki(name),
    );
    expect(await readPrivateKeys(file(name), { password: "not needed" })).toHaveLength(1);
    const secret = Buffer.from("secret");
    const wrapped = await jwe.recipient(file(`${name}.pub`)).wrap(Buffer.from(secret));
    expect(Buffer.from((await jwe.key(file(name)).unwrap(wrapped)) ?? [])).toEqual(secret);
  });

  it.each(LOCKED)("opens %s only with its password", async (name) => {
    const [read] = await readPrivateKeys(file(name), { password: "secret" });
    expect(createPublicKey(nodeKey(read!.key)).export({ type: "spki", format: "der" })).toEqual(
      spki(name),
    );
    await expectCode(readPrivateKeys(file(name)), "PASSWORD_MISSING");
    await expectCode(readPrivateKeys(file(name), { password: "wrong" }), "PASSWORD_WRONG");
  });

  it.each(["ed25519", "locked-ed25519"])("rejects %s before its password", async (name) => {
    const error = await expectCode(readPrivateKeys(file(name)), "KEY_UNSUPPORTED");
    expect(error.message).toMatch(/Ed25519 can sign but not decrypt/);
  });

  it("rejects a cipher that is not supported by name", async () => {
    const name = "locked-chacha20-poly1305@openssh.com";
    const error = await expectCode(
      readPrivateKeys(file(name), { password: "secret" }),
      "KEY_UNSUPPORTED",
    );
    expect(error.message).toContain("chacha20-poly1305@openssh.com");
    expect(error.message).toContain("ssh-keygen -p -Z aes256-ctr");
  });

  it("stops deriving a key when it is aborted", async () => {
    const abort = new AbortController();
    const files = [{ content: file("locked-rsa"), password: "secret", label: "id_rsa" }];
    const keys = keysFromFiles(files, { signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(keys).rejects.toThrow("enough");
  });

  it("rejects more rounds than it allows", async () => {
    const bytes = Buffer.from(
      file("locked-rsa")
        .toString()
        .replaceAll(/-----.*-----/g, ""),
      "base64",
    );
    const rounds = bytes.indexOf(Buffer.from([0, 0, 0, 4]), bytes.indexOf("bcrypt"));
    bytes.writeUInt32BE(1_000_000, rounds);
    const label = "OPENSSH PRIVATE KEY";
    const pem = `-----BEGIN ${label}-----\n${bytes.toString("base64")}\n-----END ${label}-----`;
    await expectCode(readPrivateKeys(pem, { password: "secret" }), "KEY_UNSUPPORTED");
  });

  it.each([0, 10, 50, 200, 600])("rejects a file that is cut after %i bytes", async (size) => {
    const bytes = Buffer.from(
      file("rsa")
        .toString()
        .replaceAll(/-----.*-----/g, ""),
      "base64",
    );
    const label = "OPENSSH PRIVATE KEY";
    const body = bytes.subarray(0, size).toString("base64");
    const pem = `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----`;
    await expectCode(readPrivateKeys(pem), "KEY_UNRECOGNIZED");
  });

  it("reads keys that ssh-keygen converted from PKCS#8", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "sec1", format: "pem" });
    const [read] = await readPrivateKeys(pem);
    expect(nodeKey(read!.key).equals(createPrivateKey(pem))).toBe(true);
  });
});
