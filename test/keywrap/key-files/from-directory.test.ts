import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  keysFromDirectory,
  keysFromFiles,
  recipientKeyIds,
  recognizeKeyFile,
} from "../../../src/keywrap/key-files/index.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import { describe as describeJwe } from "../../../src/keywrap/jwe/message.js";
import { describeWrappedKey } from "../../../src/keywrap/schemes.js";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import { expectCode } from "../../support/codes.js";
import { CLEVIS, tangServer, wrapped } from "../../support/tang.js";
import { vectorFile } from "../../support/vectors.js";

const IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const peer = (name: string): Buffer => vectorFile(`peers/keys/${name}`);
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "keys-"));
});
afterAll(() => rm(root, { recursive: true }));

/** A directory as the kubelet mounts a Secret: names are links into a directory behind `..data`. */
async function mounted(name: string, files: Record<string, string | Buffer>): Promise<string> {
  const directory = join(root, name);
  await mkdir(join(directory, "..2026_11_28"), { recursive: true });
  await symlink("..2026_11_28", join(directory, "..data"));
  for (const [file, content] of Object.entries(files)) {
    const path = join(directory, "..2026_11_28", file);
    await writeFile(path, content, { mode: 0o400 });
    await symlink(join("..data", file), join(directory, file));
  }
  return directory;
}

const labels = (keys: { label?: string | undefined }[], directory: string): string[] => [
  ...new Set(keys.map(({ label = "" }) => label.slice(directory.length + 1))),
];

describe("keysFromDirectory", () => {
  it("reads the keys of a mounted Secret, and warns about other files", async () => {
    const directory = await mounted("secret", {
      "a.pem": peer("ec256.pkcs8.pem"),
      "b.pem": peer("rsa2048.pkcs8.enc-v2.pem"),
      "b.pem.password": "secret\n",
      "notes.txt": "hello",
      "public.pem": peer("rsa2048.pub.pem"),
      "ca.crt": peer("cert-rsa3072.pem"),
    });
    await mkdir(join(directory, "subdirectory"));
    await writeFile(join(directory, ".hidden"), peer("rsa2048.pkcs8.pem"));
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const keys = await keysFromDirectory(directory, { onWarning });
    expect(labels(keys, directory)).toEqual(["a.pem", "b.pem"]);
    expect(
      warnings.map((warning) => /[\w.]+(?=: | is )/.exec(warning.split("/").at(-1)!)?.[0]),
    ).toEqual(["notes.txt", "public.pem", "ca.crt"]);
  });

  it("rejects a password that every user can read", async () => {
    const directory = await mounted("open", {
      "b.pem": peer("rsa2048.pkcs8.enc-v2.pem"),
      "b.pem.password": "secret",
    });
    await chmod(join(directory, "b.pem.password"), 0o444);
    const error = await expectCode(keysFromDirectory(directory), "KEY_UNREADABLE");
    expect(error.message).toContain("b.pem.password");
    expect(error.message).toContain("chmod 400");
  });

  it("reports a key whose password is missing or wrong", async () => {
    const locked = peer("rsa2048.pkcs8.enc-v2.pem");
    const missing = await mounted("missing", { "b.pem": locked });
    await expectCode(keysFromDirectory(missing), "PASSWORD_MISSING");
    const wrong = await mounted("wrong", { "b.pem": locked, "b.pem.password": "no" });
    await expectCode(keysFromDirectory(wrong), "PASSWORD_WRONG");
  });

  it("rejects a directory without keys, and a missing directory", async () => {
    await expectCode(keysFromDirectory(await mounted("empty", {})), "NO_KEYS");
    await expectCode(keysFromDirectory(join(root, "none")), "KEY_UNREADABLE");
  });
});

describe("a Kubernetes Secret", () => {
  const data = {
    "tls.key": peer("rsa2048.pkcs8.pem").toString("base64"),
    "tls.crt": peer("cert-rsa2048.pem").toString("base64"),
    "ca.crt": peer("cert-rsa3072.pem").toString("base64"),
  };
  const json = JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/tls",
    data,
  });
  const entries = Object.entries(data).map(([name, value]) => `  ${name}: ${value}\n`);
  const yaml = `apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\ndata:\n${entries.join("")}`;

  it.each([
    ["JSON", json],
    ["YAML", yaml],
  ])("returns its keys as %s", async (_, content) => {
    expect(recognizeKeyFile(content)).toBe("Kubernetes Secret");
    const keys = await keysFromFiles([{ content, label: "secret" }]);
    expect(keys.map(({ scheme }) => scheme)).toEqual(["jwe", "pkcs7", "pkcs11"]);
    expect(keys[0]!.label).toBe("secret (tls.key)");
    const error = await expectCode(() => jwe.key(content), "KEY_UNRECOGNIZED");
    expect(error.message).toContain("Kubernetes Secret");
  });

  it.each([
    ["a block", "|\n    # created\n    IDENTITY\n"],
    ["a text in quotes", '"# created\\nIDENTITY\\n"'],
  ])("returns its age identity in %s of YAML", async (_, text) => {
    const value = text.replace("IDENTITY", IDENTITY);
    const content = `apiVersion: v1\nkind: Secret\nstringData:\n  key.txt: ${value}\n`;
    expect(recognizeKeyFile(content)).toBe("Kubernetes Secret");
    const keys = await keysFromFiles([{ content, label: "secret" }]);
    expect(keys.map(({ scheme }) => scheme)).toEqual(["provider.age"]);
  });

  it("opens a key with the password next to it", async () => {
    const stringData = {
      key: peer("rsa2048.pkcs8.enc-v2.pem").toString(),
      "key.password": "secret\n",
    };
    const content = JSON.stringify({ apiVersion: "v1", kind: "Secret", stringData });
    expect(await keysFromFiles([{ content, label: "secret" }])).toHaveLength(3);
  });

  it("rejects one without a private key, and one that is damaged", async () => {
    const none = JSON.stringify({ apiVersion: "v1", kind: "Secret", data: { a: "aGVsbG8=" } });
    await expectCode(keysFromFiles([{ content: none, label: "s" }]), "KEY_IS_PUBLIC");
    for (const content of [yaml.replace("tls.key: ", "tls.key: %"), `${yaml}\n  x: *y`]) {
      await expectCode(keysFromFiles([{ content, label: "s" }]), "KEY_UNRECOGNIZED");
    }
  });
});

describe("recipientKeyIds", () => {
  it("finds the recipient of a public key and of a certificate", async () => {
    const wrapped = await jwe.recipient(peer("rsa2048.pub.pem")).wrap(Buffer.from("x"));
    const keyId = describeJwe(wrapped)[0]!.keyId!;
    expect(await recipientKeyIds(peer("rsa2048.pub.pem"))).toEqual([keyId]);
    const cms = await pkcs7.recipient(peer("cert-rsa2048.pem")).wrap(Buffer.from("x"));
    const [own] = await describeWrappedKey("pkcs7", cms);
    const ids = await recipientKeyIds(peer("cert-rsa2048.pem"));
    expect(ids).toContain(own!.keyId);
    // The certificate's key may be a JWE recipient, too.
    expect(ids).toContain(keyId);
  });

  it("finds the encryption key of an OpenPGP key", async () => {
    const ids = await recipientKeyIds(peer("pgp/rsa2048.pub.asc"));
    expect(ids.length).toBeGreaterThan(0);
    for (const id of ids) expect(id).toMatch(/^0x[0-9a-f]{16}$/);
  });

  it("rejects a private key", async () => {
    await expectCode(recipientKeyIds(peer("rsa2048.pkcs8.pem")), "KEY_IS_PRIVATE");
  });
});

describe("keys.yaml", () => {
  const { one } = CLEVIS.servers;

  it("has the settings of key servers, beside keys in files", async () => {
    const server = await tangServer(one);
    const directory = await mounted("servers", {
      "a.pem": peer("ec256.pkcs8.pem"),
      "keys.yaml": `tang:\n  moved:\n    ${one.url}: ${server.url}\n`,
    });
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const keys = await keysFromDirectory(directory, { onWarning });
    expect([warnings, keys.map(({ scheme }) => scheme)]).toEqual([[], ["jwe", "provider.tang"]]);
    // Clevis wrapped it.
    const secret = await keys[1]!.unwrap(wrapped("one"));
    expect(Buffer.from(secret!).toString()).toBe(CLEVIS.secret);
  });

  it("is no key for systems whose keys are files", async () => {
    const directory = await mounted("no-servers", { "keys.yaml": "age:\n" });
    await expectCode(keysFromDirectory(directory), "NO_KEYS");
  });

  it.each([
    ["has an unknown system", "other: {}\n"],
    ["is damaged", "{"],
    ["has a wrong setting", "tang:\n  servers: 1\n"],
  ])("that %s is skipped beside other keys, and an error without any", async (what, content) => {
    const name = what.replaceAll(" ", "-");
    const alone = await mounted(name, { "keys.yaml": content });
    await expectCode(keysFromDirectory(alone), "KEY_SERVER_CONFIG_INVALID");
    const beside = await mounted(`${name}-2`, {
      "a.pem": peer("ec256.pkcs8.pem"),
      "keys.yaml": content,
    });
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    expect(labels(await keysFromDirectory(beside, { onWarning }), beside)).toEqual(["a.pem"]);
    expect(warnings).toEqual([expect.stringMatching(/keys\.yaml: the settings of key servers/)]);
  });

  it("may also be a PKCS#11 key file", async () => {
    const directory = await mounted("pkcs11", {
      "keys.yaml": "pkcs11:\n  uri: pkcs11:token=t;object=o?module-name=m&pin-value=1234\n",
    });
    expect((await keysFromDirectory(directory)).map(({ scheme }) => scheme)).toEqual(["pkcs11"]);
  });
});
