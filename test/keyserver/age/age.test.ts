import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { listRecipients } from "../../../src/index.js";
import { keysFromFiles, recognizeKeyFile } from "../../../src/keywrap/key-files/index.js";
import { newAttempts } from "../../../src/keywrap/unwrapping.js";
import { age } from "../../../src/keyserver/age/index.js";
import { stanzaTypes } from "../../../src/keyserver/age/file.js";
import { expectCode } from "../../support/codes.js";

interface Vectors {
  identity: string;
  hybridIdentity: string;
  recipient: string;
  hybridRecipient: string;
  passphrase: string;
  encryptedIdentity: string;
  armouredIdentity: string;
  plaintext: string;
  file: string;
  hybridFile: string;
}

/** Made by age 1.3.1; the passphrase by its plugin batchpass. */
const vectors = JSON.parse(
  readFileSync(new URL("age-1.3.1.json", import.meta.url), "utf8"),
) as Vectors;
const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");
const plaintext = Buffer.from(vectors.plaintext);
const kinds = [
  ["X25519", vectors.recipient, vectors.identity, vectors.file],
  ["mlkem768x25519", vectors.hybridRecipient, vectors.hybridIdentity, vectors.hybridFile],
] as const;

async function keyOf(identityFile: string): ReturnType<typeof age.key> {
  const [key] = await age.keys(identityFile);
  return key!;
}

const other = (type: string): string =>
  type === "X25519" ? vectors.hybridIdentity : vectors.identity;

describe.each(kinds)("%s", (type, recipient, identity, file) => {
  it("opens a file of age", async () => {
    const key = await keyOf(identity);
    expect(key.thumbprint).toBe(recipient);
    expect(Buffer.from((await key.unwrap(bytes(file)))!)).toEqual(plaintext);
  });

  it("opens what it wraps, and another identity does not", async () => {
    const made = await age.recipient(recipient);
    expect(made).toMatchObject({ scheme: "provider.age", thumbprint: recipient });
    const secret = randomBytes(300);
    const wrapped = await made.wrap(Uint8Array.from(secret));
    expect(Buffer.from(wrapped).includes(secret)).toBe(false);
    const key = await keyOf(identity);
    expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(secret);
    const stranger = await keyOf(other(type));
    expect(await stranger.unwrap(wrapped)).toBeNull();
    expect(stranger.explain!(wrapped)).toMatch(/^it is for another recipient than "age1/);
  });

  it("rejects a file that was changed at any place", async () => {
    const wrapped = bytes(file);
    const key = await keyOf(identity);
    const mac = wrapped.indexOf("\n--- ") + 5;
    for (const at of [mac, mac + 30, mac + 46, wrapped.byteLength - 1]) {
      const changed = Buffer.from(wrapped);
      changed[at]! ^= 1;
      await expectCode(key.unwrap(changed), "WRAPPED_KEY_INVALID");
    }
    // A changed stanza is that of another recipient, and is not distinguished from it.
    const stanza = Buffer.from(wrapped);
    const body = wrapped.indexOf("\n", wrapped.indexOf("->")) + 3;
    stanza[body] = (stanza[body] === 0x41 ? "B" : "A").charCodeAt(0);
    expect(await key.unwrap(stanza)).toBeNull();
  });

  it.each([0, 10, 22, 60, -1])("rejects a file that ends at byte %i", async (end) => {
    const key = await keyOf(identity);
    await expectCode(key.unwrap(bytes(file).subarray(0, end)), "WRAPPED_KEY_INVALID");
  });

  it("is described without a key, with its safety from a quantum computer", async () => {
    const annotations = { "org.opencontainers.image.enc.keys.provider.age": file };
    const mediaType = "application/vnd.oci.image.layer.v1.tar+encrypted";
    const postQuantum = type !== "X25519";
    expect(await listRecipients({ mediaType, annotations })).toEqual([
      { scheme: "provider.age", index: 0, algorithm: type, postQuantum },
    ]);
  });
});

describe("wrapped keys", () => {
  it("of another provider that has this name are described as such", async () => {
    const packet = Buffer.from('{"kid":"kbs:///default/key/1","wrap_type":"A256GCM"}');
    const annotations = {
      "org.opencontainers.image.enc.keys.provider.age": packet.toString("base64"),
    };
    const mediaType = "application/vnd.oci.image.layer.v1.tar+encrypted";
    expect(await listRecipients({ mediaType, annotations })).toMatchObject([
      { algorithm: "A256GCM", keyId: "kbs:///default/key/1" },
    ]);
  });

  it("with too many recipients are rejected before a key is tried", async () => {
    const stanza = `-> X25519 CQ${"A".repeat(41)}\n${"A".repeat(43)}\n`;
    const file = (count: number): Buffer =>
      Buffer.from(`age-encryption.org/v1\n${stanza.repeat(count)}--- ${"A".repeat(43)}\n`);
    expect(stanzaTypes(file(64))).toHaveLength(64);
    const key = await keyOf(vectors.identity);
    const attempts = newAttempts();
    await expectCode(key.unwrap(file(65), { attempts }), "WRAPPED_KEY_INVALID");
    expect(attempts).toEqual(newAttempts());
    expect(await key.unwrap(file(64), { attempts })).toBeNull();
    expect(attempts.left).toBe(newAttempts().left - 64);
  });

  it("are not opened once the signal has aborted", async () => {
    const key = await keyOf(vectors.identity);
    const reason = new Error("stopped");
    const signal = AbortSignal.abort(reason);
    await expect(key.unwrap(bytes(vectors.file), { signal })).rejects.toBe(reason);
  });
});

describe("recipients", () => {
  it("come from a file with comments, one wrapped key for each", async () => {
    const file = `# ours\r\n${vectors.recipient}\r\n\n  ${vectors.hybridRecipient}\n`;
    const made = await age.recipients(Buffer.from(file));
    expect(made.map(({ thumbprint }) => thumbprint)).toEqual([
      vectors.recipient,
      vectors.hybridRecipient,
    ]);
  });

  it.each([
    ["an identity", /AGE-\S+/.exec(vectors.identity)![0], "KEY_IS_PRIVATE"],
    ["an SSH key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "KEY_UNSUPPORTED"],
    ["a plugin", "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", "KEY_UNSUPPORTED"],
    ["a typing error", vectors.recipient.replace(/.$/, "q"), "KEY_UNRECOGNIZED"],
    ["a typing error in a long key", vectors.hybridRecipient.replace(/.$/, "q"), "KEY_UNRECOGNIZED"],
    ["nothing", "", "KEY_UNRECOGNIZED"],
  ] as const)("that are %s are rejected", async (_, text, code) => {
    const { message } = await expectCode(age.recipient(text), code);
    expect(message).not.toContain(text.slice(0, 40) || "undefined");
    if (text !== "") await expectCode(age.recipients(`# a\n${text}`), code);
  }); // prettier-ignore

  it("need a file with 1 to 100 keys", async () => {
    await expectCode(age.recipients("# nothing\n"), "KEY_UNRECOGNIZED");
    await expectCode(age.recipients(`${vectors.recipient}\n`.repeat(101)), "KEY_UNRECOGNIZED");
  });
});

describe("identity files", () => {
  const password = vectors.passphrase;

  it.each([
    ["plain", Buffer.from(vectors.identity), undefined],
    ["encrypted", bytes(vectors.encryptedIdentity), password],
    ["armoured", Buffer.from(vectors.armouredIdentity), Buffer.from(password)],
  ] as const)("that are %s are recognised by their content", async (_, content, given) => {
    expect(recognizeKeyFile(content)).toBe("age identity");
    const keys = await keysFromFiles([{ content, label: "id.txt", password: given }]);
    expect(keys).toMatchObject([
      { scheme: "provider.age", label: "id.txt", thumbprint: vectors.recipient },
    ]);
    expect(Buffer.from((await keys[0]!.unwrap(bytes(vectors.file)))!)).toEqual(plaintext);
  });

  it("are not opened after an abort", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    const content = bytes(vectors.encryptedIdentity);
    const opening = keysFromFiles([{ content, label: "id.age", password }], { signal });
    await expect(opening).rejects.toThrow("enough");
  });

  it("need the right passphrase", async () => {
    const content = bytes(vectors.encryptedIdentity);
    const file = { content, label: "id.age" };
    await expectCode(keysFromFiles([file]), "PASSWORD_MISSING");
    const wrong = keysFromFiles([{ ...file, password: "correct horse\n" }]);
    const { message } = await expectCode(wrong, "PASSWORD_WRONG");
    expect(message).toMatch(/^id\.age: /);
    expect(message).not.toContain("horse");
  });

  it.each([
    ["a work factor of half a gigabyte", "VhQkJjFWL2LiL4yRffzRBQ 12", "VhQkJjFWL2LiL4yRffzRBQ 19", "KEY_UNSUPPORTED"],
    ["a work factor that is no number", "VhQkJjFWL2LiL4yRffzRBQ 12", "VhQkJjFWL2LiL4yRffzRBQ +2", "KEY_UNSUPPORTED"],
    ["a recipient that is no passphrase", "-> scrypt", "-> X25519", "KEY_UNSUPPORTED"],
    ["no header", "age-encryption.org/v1\n->", "age-encryption.org/v1\n<-", "KEY_UNRECOGNIZED"],
  ] as const)("with %s are rejected", async (_, from, to, code) => {
    const text = bytes(vectors.encryptedIdentity).toString("latin1");
    expect(text).toContain(from);
    const content = Buffer.from(text.replace(from, to), "latin1");
    await expectCode(age.keys(content, { password }), code);
  }); // prettier-ignore

  it("of plugins and damaged ones are rejected, and no message quotes them", async () => {
    await expectCode(age.keys("AGE-PLUGIN-YUBIKEY-1Q5Q"), "KEY_UNSUPPORTED");
    const secret = /AGE-SECRET-KEY-1\w+/.exec(vectors.identity)![0];
    const { message } = await expectCode(age.keys(`#\n${secret}Q`), "KEY_UNRECOGNIZED");
    expect(message).toBe("line 2: the age identity is damaged");
  });

  it("with several identities give one key each", async () => {
    const keys = await age.keys(`${vectors.identity}\n${vectors.hybridIdentity}`);
    expect(keys.map(({ thumbprint }) => thumbprint)).toEqual([
      vectors.recipient,
      vectors.hybridRecipient,
    ]);
  });
});
