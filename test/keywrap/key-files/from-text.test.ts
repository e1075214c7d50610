import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  keysFromDirectory,
  keysFromFiles,
  keysFromText,
  recipientsFromText,
} from "../../../src/keywrap/key-files/index.js";
import { describeWrappedKey } from "../../../src/keywrap/schemes.js";
import { expectCode } from "../../support/codes.js";
import { isWebEngine } from "../../support/engine.js";
import { vectorFile } from "../../support/vectors.js";

const KEYS = fileURLToPath(new URL("../../../vectors/peers/keys/", import.meta.url));
const file = (name: string): string => join(KEYS, name);
/** RFC 7638, of rsa2048.pub.pem, computed with openssl and sha256sum. */
const RSA_THUMBPRINT = "cAa_OVCVmjBG-9LIOY6wlzclq-Crzqo1b5ku2HFnKRk";
/** The example of https://age-encryption.org/v1. */
const AGE = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/** A browser has no files of its own. */
const files = isWebEngine ? { readFile: (name: string) => readFileSync(name) } : {};

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "text-"));
  const config = join(root, "providers.json");
  await writeFile(config, '{"key-providers":{"kms":{"cmd":{"path":"/bin/false"}}}}');
  vi.stubEnv("OCICRYPT_KEYPROVIDER_CONFIG", config);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

const secret = Buffer.from(Array.from({ length: 32 }, (_, i) => i));

describe("recipientsFromText", () => {
  it.each([
    ["jwe:rsa2048.pub.pem", "rsa2048.pkcs8.pem"],
    ["jwe:ec256.pub.pem", "ec256.pkcs8.pem"],
    ["pkcs7:cert-rsa2048.pem", "rsa2048.pkcs8.pem"],
    ["pkcs11:rsa2048.pub.pem", "rsa2048.pkcs8.pem"],
  ])("wraps for %s what keysFromText opens with %s", async (text, privateKey) => {
    const [scheme = "", name = ""] = text.split(":");
    const [recipient, ...more] = await recipientsFromText(`${scheme}:${file(name)}`, files);
    expect(more).toEqual([]);
    const wrapped = await recipient!.wrap(secret);
    const keys = await keysFromText(file(privateKey), files);
    const key = keys.find((each) => each.scheme === scheme);
    expect(Buffer.from((await key!.unwrap(wrapped))!)).toEqual(secret);
  });

  it("writes the key id that it is given", async () => {
    const text = `jwe:${file("rsa2048.pub.pem")}`;
    const idOf = async (kid?: string): Promise<string | undefined> => {
      const [recipient] = await recipientsFromText(text, { ...files, kid });
      const [described] = await describeWrappedKey("jwe", await recipient!.wrap(secret));
      return described?.keyId;
    };
    expect(await idOf("alice")).toBe("alice");
    expect(await idOf()).toBe(RSA_THUMBPRINT);
  });

  it("looks up OpenPGP names in the key rings that it is given", async () => {
    const keyRings = [vectorFile("peers/keys/pgp/rsa2048.pub.asc")];
    await expectCode(
      recipientsFromText("pgp:nobody@example.com", { keyRings }),
      "RECIPIENT_NOT_FOUND",
    );
    const [recipient] = await recipientsFromText("pgp:1A56A348BF8160BD046582D82191DBCA0F29ACA9", {
      keyRings,
    });
    expect(recipient?.scheme).toBe("pgp");
  });

  it("names providers, with parameters that may contain colons", async () => {
    const [recipient] = await recipientsFromText("provider:kms:key:1");
    expect(recipient?.scheme).toBe("provider.kms");
  });

  it("names age keys", async () => {
    const [recipient] = await recipientsFromText(`age:${AGE}`);
    expect(recipient?.scheme).toBe("provider.age");
  });

  it("reads files with the given function", async () => {
    const read: string[] = [];
    const readFile = (name: string): Uint8Array => {
      read.push(name);
      return vectorFile("peers/keys/ec256.pub.pem");
    };
    await recipientsFromText("jwe:a:b.pem", { readFile });
    expect(read).toEqual(["a:b.pem"]);
  });

  it.each(["", "jwe", "jwe:", "public.pem", "smime:x", "provider:", "provider::x", "provider:a b"])(
    "rejects %j",
    async (text) => {
      await expectCode(recipientsFromText(text), "RECIPIENT_INVALID");
    },
  );

  it("does not quote a text that may be a key", async () => {
    const text = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    const { message } = await expectCode(recipientsFromText(text), "RECIPIENT_INVALID");
    expect(message).not.toContain("GFPYY");
  });

  it("reports a missing file", async () => {
    await expectCode(recipientsFromText(`jwe:${join(root, "none")}`), "KEY_UNREADABLE");
  });
});

describe("keysFromText", () => {
  it("opens an encrypted file with the password", async () => {
    const name = file("rsa2048.pkcs8.enc-v2.pem");
    const keys = await keysFromText(name, { ...files, password: "secret" });
    expect(keys.map(({ scheme }) => scheme)).toContain("jwe");
    expect(keys[0]?.label).toBe(name);
    await expectCode(keysFromText(name, files), "PASSWORD_MISSING");
    await expectCode(keysFromText(name, { ...files, password: "wrong" }), "PASSWORD_WRONG");
  });

  it("reads a directory, and warns of files that are no keys", async () => {
    const directory = join(root, "keys");
    await mkdir(directory);
    await writeFile(join(directory, "a.pem"), vectorFile("peers/keys/ec256.pkcs8.pem"));
    await writeFile(join(directory, "notes.txt"), "hello");
    const warnings: string[] = [];
    const keys = await keysFromText(directory, { onWarning: (message) => warnings.push(message) });
    expect(keys.map(({ scheme }) => scheme)).toEqual(["jwe"]);
    expect(warnings).toEqual([expect.stringContaining("notes.txt")]);
  });

  it("names providers", async () => {
    const [key] = await keysFromText("provider:kms");
    expect(key?.scheme).toBe("provider.kms");
    await expectCode(keysFromText("provider:"), "RECIPIENT_INVALID");
  });

  it("reports a missing file, and a public key", async () => {
    await expectCode(keysFromText(join(root, "none")), "KEY_UNREADABLE");
    await expectCode(keysFromText(file("rsa2048.pub.pem"), files), "KEY_IS_PUBLIC");
  });
});

describe.runIf(isWebEngine)("in a browser", () => {
  const readFile = (): Uint8Array => vectorFile("peers/keys/rsa2048.pub.pem");

  it.each(["pkcs11:file", "provider:kms"])("recipientsFromText cannot use %s", async (text) => {
    await expectCode(recipientsFromText(text, { readFile }), "KEY_UNSUPPORTED");
  });

  it.each([
    ["age", "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"],
    ["a token", "pkcs11:\n  uri: pkcs11:token=t;object=o?module-name=m&pin-value=1234\n"],
  ])("keysFromFiles cannot use the key of %s", async (_, content) => {
    await expectCode(keysFromFiles([{ content, label: "the key" }]), "KEY_UNSUPPORTED");
  });

  it("there are no files and directories", async () => {
    await expectCode(keysFromText("/tmp"), "KEY_UNREADABLE");
    await expectCode(keysFromDirectory("/tmp"), "KEY_UNREADABLE");
    await expectCode(recipientsFromText("jwe:/tmp/public.pem"), "KEY_UNREADABLE");
  });
});

describe("provider:attestation-agent", () => {
  const KEY_ID = "keyid=kbs:///default/image-kek/1";
  let keyPath: string;
  beforeAll(async () => {
    keyPath = `keypath=${join(root, "kek")}`;
    await writeFile(join(root, "kek"), Buffer.alloc(32, 7));
  });
  const text = (...params: string[]): string => `provider:attestation-agent:${params.join("::")}`;

  it("wraps with the key of keypath, and unwraps with it", async () => {
    const [recipient] = await recipientsFromText(text(keyPath, KEY_ID, "algorithm=A256GCM"));
    const wrapped = await recipient!.wrap(secret);
    const described = await describeWrappedKey("provider.attestation-agent", wrapped);
    expect(described).toEqual([{ algorithm: "A256GCM", keyId: "kbs:///default/image-kek/1" }]);
    const [key] = await keysFromText(text(keyPath));
    expect(Buffer.from((await key!.unwrap(wrapped))!)).toEqual(secret);
  });

  it.each([
    ["no name", () => text(keyPath), /keyid/],
    ["the sample key", () => text(keyPath, KEY_ID, "sample=true"), /everybody knows/],
    ["another algorithm", () => text(keyPath, KEY_ID, "algorithm=A256CTR"), /A256GCM/],
  ])("is refused with %s", async (_, make, words) => {
    await expectCode(recipientsFromText(make()), "RECIPIENT_INVALID");
    await expect(recipientsFromText(make())).rejects.toThrow(words);
  });

  it("is a program if the configuration names one, with warnings about its parameters", async () => {
    const config = join(root, "agent.json");
    const entry = { cmd: { path: "/bin/false" } };
    await writeFile(config, JSON.stringify({ "key-providers": { "attestation-agent": entry } }));
    const before = process.env.OCICRYPT_KEYPROVIDER_CONFIG!;
    vi.stubEnv("OCICRYPT_KEYPROVIDER_CONFIG", config);
    const warnings: string[] = [];
    const onWarning = (message: string): void => void warnings.push(message);
    const [recipient] = await recipientsFromText(text(KEY_ID), { onWarning });
    await expectCode(recipient!.wrap(secret), "PROVIDER_FAILED");
    expect(warnings).toEqual([expect.stringContaining("the image is lost unless")]);
    vi.stubEnv("OCICRYPT_KEYPROVIDER_CONFIG", before);
  });

  it("needs a program without keypath", async () => {
    await expectCode(recipientsFromText(text(KEY_ID)), "PROVIDER_NOT_CONFIGURED");
  });
});
