import { setTimeout } from "node:timers/promises";
import * as openpgp from "openpgp";
import { describe as suite, expect, it, vi } from "vitest";
import { pgp } from "../../../src/keywrap/pgp/index.js";
import { codeOf, gnupg, packet, peer, SECRET, sessionKey, text } from "./support.js";

const NIST = "d943d73eca5f535f";

suite("messages that gpg wrote", () => {
  const cases: [string, string][] = [
    ["nist.gpg", "nist.sec.asc"],
    ["nist.gpg", "nist.subkeys.asc"],
    ["armored.asc", "nist.sec.asc"],
    ["dsa.gpg", "dsa.sec.asc"],
    ["two.gpg", "dsa.sec.asc"],
    ["two.gpg", "nist.sec.asc"],
    ["hidden.gpg", "nist.sec.asc"],
    ["hidden-two.gpg", "dsa.sec.asc"],
    ["hidden-two.gpg", "nist.sec.asc"],
    ["signed.gpg", "nist.sec.asc"],
    ["password-and-key.gpg", "nist.sec.asc"],
    ["cipher-3des.gpg", "nist.sec.asc"],
    ["cipher-cast5.gpg", "nist.sec.asc"],
    ["cipher-aes192.gpg", "nist.sec.asc"],
    ["compress-none.gpg", "nist.sec.asc"],
    ["compress-zip.gpg", "nist.sec.asc"],
    ["compress-zlib.gpg", "nist.sec.asc"],
    ["compress-bzip2.gpg", "nist.sec.asc"],
    // A key that can no longer be a recipient still opens.
    ["revoked.gpg", "revoked.sec.asc"],
    ["gone.gpg", "gone.sec.asc"],
    ["subexpired.gpg", "subexpired.sec.asc"],
    ["rotated-old.gpg", "rotated.sec.asc"],
    ["weak.gpg", "weak.sec.asc"],
  ];
  it.each(cases)("%s opens with %s", async (message, key) => {
    expect(text(await pgp.key(gnupg(key)).unwrap(gnupg(message)))).toBe(SECRET);
  });

  it("opens with a key whose names are all revoked", async () => {
    const armoredKey = Buffer.from(gnupg("gone.sec.asc")).toString("latin1");
    const key = await openpgp.readPrivateKey({ armoredKey });
    key.users = key.users.filter(({ userID }) => userID?.userID.startsWith("Gone Name"));
    expect(key.users).toHaveLength(1);
    expect(text(await pgp.key(key.write()).unwrap(gnupg("gone.gpg")))).toBe(SECRET);
  });

  const foreign: [string, string][] = [
    ["nist.gpg", "dsa.sec.asc"],
    ["dsa.gpg", "nist.sec.asc"],
    ["two.gpg", "rotated.sec.asc"],
    ["hidden.gpg", "dsa.sec.asc"],
    ["hidden.gpg", "rotated.sec.asc"],
    ["hidden-two.gpg", "weak.sec.asc"],
    ["password-and-key.gpg", "dsa.sec.asc"],
  ];
  it.each(foreign)("%s is not for %s", async (message, key) => {
    expect(await pgp.key(gnupg(key)).unwrap(gnupg(message))).toBeNull();
  });

  const refused: [string, string, string][] = [
    ["bomb-zip.gpg", "nist.sec.asc", "WRAPPED_KEY_INVALID"],
    ["bomb-zlib.gpg", "nist.sec.asc", "WRAPPED_KEY_INVALID"],
    ["bomb-bzip2.gpg", "nist.sec.asc", "WRAPPED_KEY_INVALID"],
    ["no-mdc.gpg", "nist.sec.asc", "WRAPPED_KEY_UNSUPPORTED"],
    ["password.gpg", "nist.sec.asc", "WRAPPED_KEY_UNSUPPORTED"],
    ["brainpool.gpg", "brainpool.sec.asc", "KEY_UNSUPPORTED"],
    ["secp256k1.gpg", "secp256k1.sec.asc", "KEY_UNSUPPORTED"],
  ];
  it.each(refused)("%s is rejected", async (message, key, code) => {
    expect(await codeOf(() => pgp.key(gnupg(key)).unwrap(gnupg(message)))).toBe(code);
  });
});

suite("damaged messages", () => {
  it("never open, and all fail alike", async () => {
    const key = pgp.key(gnupg("nist.sec.asc"));
    const whole = gnupg("compress-none.gpg");
    const outcomes = new Set<string>();
    for (let index = 0; index < whole.byteLength; index++) {
      const damaged = whole.slice();
      damaged[index] = (damaged[index] ?? 0) ^ 0x10;
      try {
        outcomes.add(text(await key.unwrap(damaged)) ?? "null");
      } catch (error) {
        outcomes.add((error as { code: string }).code);
      }
    }
    // Damaged key ids make it another recipient's, and damaged versions or algorithms a newer one.
    expect([...outcomes].sort()).toEqual([
      "WRAPPED_KEY_INVALID",
      "WRAPPED_KEY_UNSUPPORTED",
      "null",
    ]);
  });

  it("do not reveal what is damaged", async () => {
    const key = pgp.key(gnupg("nist.sec.asc"));
    const whole = gnupg("compress-none.gpg");
    const messages = new Set<string>();
    // In the point, the wrapped session key, the content and its digest.
    for (const index of [30, 110, 150, whole.byteLength - 1]) {
      const damaged = whole.slice();
      damaged[index] = (damaged[index] ?? 0) ^ 1;
      const error: unknown = await key.unwrap(damaged).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "WRAPPED_KEY_INVALID" });
      expect((error as Error).cause).toBeUndefined();
      messages.add((error as Error).message);
    }
    expect(messages.size).toBe(1);
  });

  it("a damaged or unknown recipient next to this one does no harm", async () => {
    const spoiled = Buffer.concat([
      sessionKey("0123456789abcdef", 1, Buffer.from([0xff])),
      sessionKey("0123456789abcdef", 99, Buffer.alloc(10)),
      gnupg("nist.gpg"),
    ]);
    expect(text(await pgp.key(gnupg("nist.sec.asc")).unwrap(spoiled))).toBe(SECRET);
  });

  it("an unknown algorithm for this key is not understood", async () => {
    const message = Buffer.concat([
      sessionKey(NIST, 99, Buffer.alloc(10)),
      packet(18, [1], Buffer.alloc(40)),
    ]);
    const code = await codeOf(() => pgp.key(gnupg("nist.sec.asc")).unwrap(message));
    expect(code).toBe("WRAPPED_KEY_UNSUPPORTED");
  });

  it.each([
    ["named", NIST],
    ["hidden", "0".repeat(16)],
  ])("more than 32 %s recipients are rejected", async (_, keyId) => {
    const one = sessionKey(keyId, 18, Buffer.alloc(100));
    const message = Buffer.concat([...Array<Buffer>(33).fill(one), packet(18, [1])]);
    const code = await codeOf(() => pgp.key(gnupg("nist.sec.asc")).unwrap(message));
    expect(code).toBe("WRAPPED_KEY_INVALID");
  });
});

suite("key files", () => {
  const both = Buffer.concat([peer("keys/pgp/rsa2048.sec.gpg"), peer("keys/pgp/cv25519.sec.gpg")]);
  const RING = peer("keys/pgp/ALL.pub.gpg");

  const files: [string, Uint8Array | string][] = [
    ["binary", peer("keys/pgp/cv25519.sec.gpg")],
    ["armoured", peer("keys/pgp/cv25519.sec.asc")],
    ["a string", Buffer.from(peer("keys/pgp/cv25519.sec.asc")).toString("latin1")],
    ["several keys", both],
    [
      "several armoured keys",
      Buffer.concat([gnupg("dsa.sec.asc"), peer("keys/pgp/cv25519.sec.asc")]),
    ],
    ["public keys as well", Buffer.concat([RING, both])],
    ["unknown keys as well", Buffer.concat([packet(5, [9]), packet(5, [4, 0, 0, 0, 0, 99]), both])],
    ["a damaged user id", Buffer.concat([both, packet(13, [0xff]), packet(2, [1])])],
  ];
  it.each(files)("%s", async (_, file) => {
    const recipient = pgp.recipient("cv25519@example.org", { keyRing: RING });
    const wrapped = await recipient.wrap(Buffer.from(SECRET));
    expect(text(await pgp.key(file).unwrap(wrapped))).toBe(SECRET);
  });

  const refused: [string, Uint8Array | string, string][] = [
    ["a public key", peer("keys/pgp/rsa2048.pub.gpg"), "KEY_IS_PUBLIC"],
    ["an armoured public key", peer("keys/pgp/rsa2048.pub.asc"), "KEY_IS_PUBLIC"],
    ["a public ring", RING, "KEY_IS_PUBLIC"],
    ["a key that can only sign", gnupg("sign.sec.asc"), "KEY_UNSUPPORTED"],
    ["a key of version 3", packet(5, [3], Buffer.alloc(60)), "KEY_UNSUPPORTED"],
    ["a PEM file", peer("keys/rsa2048.pkcs8.pem"), "KEY_UNRECOGNIZED"],
    ["a DER file", peer("keys/rsa2048.pkcs8.der"), "KEY_UNRECOGNIZED"],
    ["a message", gnupg("nist.gpg"), "KEY_UNRECOGNIZED"],
    [
      "a file that is cut off",
      peer("keys/pgp/rsa2048.sec.gpg").subarray(0, 700),
      "KEY_UNRECOGNIZED",
    ],
    ["nothing", "", "KEY_UNRECOGNIZED"],
  ];
  it.each(refused)("rejects %s", async (_, file, code) => {
    expect(await codeOf(() => pgp.key(file))).toBe(code);
  });

  it("a damaged key fails only when it is needed", async () => {
    const damaged = peer("keys/pgp/rsa2048.sec.gpg").slice();
    // Within the secret numbers of the subkey that encrypts, which have a checksum.
    damaged[damaged.byteLength - 400] = (damaged[damaged.byteLength - 400] ?? 0) ^ 1;
    const key = pgp.key(damaged);
    const wrap = async (name: string): Promise<Uint8Array> =>
      await pgp.recipient(name, { keyRing: RING }).wrap(Buffer.from(SECRET));
    expect(await key.unwrap(await wrap("cv25519@example.org"))).toBeNull();
    const own = await wrap("rsa2048@example.org");
    expect(await codeOf(() => key.unwrap(own))).toBe("KEY_UNSUPPORTED");
  });

  it("a key whose secret part is elsewhere is rejected only if it is needed", async () => {
    const { privateKey, publicKey } = await openpgp.generateKey({
      userIDs: { email: "card@example.org" },
      format: "object",
      date: new Date(Date.now() - 60_000),
    });
    const [subkey] = privateKey.subkeys;
    (subkey!.keyPacket as openpgp.SecretSubkeyPacket).makeDummy();
    const recipient = pgp.recipient("card@example.org", { keyRing: publicKey.write() });
    const wrapped = await recipient.wrap(Buffer.from(SECRET));
    const code = await codeOf(() => pgp.key(privateKey.write()).unwrap(wrapped));
    expect(code).toBe("KEY_UNSUPPORTED");
  });

  it("a key without key flags is used", async () => {
    const { privateKey } = await openpgp.generateKey({
      userIDs: { email: "flagless@example.org" },
      format: "object",
      date: new Date(Date.now() - 60_000),
    });
    const { keyPacket, users, subkeys } = privateKey;
    const [user, subkey] = [users[0]!, subkeys[0]!];
    const certified = { key: keyPacket, userID: user.userID };
    await signAgain(user.selfCertifications[0]!, keyPacket, certified);
    const bound = { key: keyPacket, bind: subkey.keyPacket };
    await signAgain(subkey.bindingSignatures[0]!, keyPacket, bound);
    const keyRing = privateKey.toPublic().write();
    const wrapped = await pgp
      .recipient("flagless@example.org", { keyRing })
      .wrap(Buffer.from(SECRET));
    expect(text(await pgp.key(privateKey.write()).unwrap(wrapped))).toBe(SECRET);
  });

  /** Signs without key flags, for which OpenPGP.js has no public function. */
  async function signAgain(
    signature: openpgp.SignaturePacket,
    key: unknown,
    data: object,
  ): Promise<void> {
    signature.keyFlags = null;
    const config = { ...openpgp.config, nonDeterministicSignaturesViaNotation: false };
    type Sign = (...args: [unknown, object, Date, boolean, openpgp.Config]) => Promise<void>;
    const { created } = signature;
    await (signature as unknown as { sign: Sign }).sign(key, data, created!, false, config);
  }

  it("has the scheme's name, and a label if there is one", () => {
    expect(pgp.key(both)).toMatchObject({ scheme: "pgp", label: undefined });
    expect(pgp.key(both, { label: "alice.gpg" }).label).toBe("alice.gpg");
  });
});

suite("passwords", () => {
  const locked = peer("keys/pgp/pass.sec.gpg");
  const keyRing = peer("keys/pgp/pass.pub.gpg");
  const wrap = async (): Promise<Uint8Array> =>
    await pgp.recipient("pass@example.org", { keyRing }).wrap(Buffer.from(SECRET));

  it.each([["a string", "secret"] as const, ["bytes", Buffer.from("secret")] as const])(
    "%s",
    async (_, password) => {
      expect(text(await pgp.key(locked, { password }).unwrap(await wrap()))).toBe(SECRET);
    },
  );

  it.each([
    [undefined, "PASSWORD_MISSING"],
    ["", "PASSWORD_WRONG"],
    ["Secret", "PASSWORD_WRONG"],
    ["secret\n", "PASSWORD_WRONG"],
  ])("%j is %s", async (password, code) => {
    const key = pgp.key(locked, { password });
    const wrapped = await wrap();
    const error: unknown = await key.unwrap(wrapped).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    expect(String(error)).not.toContain("ecret");
    expect((error as Error).cause).toBeUndefined();
    expect(await codeOf(() => key.unwrap(wrapped))).toBe(code);
  });

  it("is not needed for a message for another key", async () => {
    expect(await pgp.key(locked).unwrap(gnupg("nist.gpg"))).toBeNull();
  });

  it("is needed to find out whether a hidden recipient is this one", async () => {
    expect(await codeOf(() => pgp.key(locked).unwrap(gnupg("hidden.gpg")))).toBe(
      "PASSWORD_MISSING",
    );
    expect(await pgp.key(locked, { password: "secret" }).unwrap(gnupg("hidden.gpg"))).toBeNull();
  });

  it("does not affect a key that is not locked", async () => {
    const key = pgp.key(gnupg("nist.sec.asc"), { password: "unused" });
    expect(text(await key.unwrap(gnupg("nist.gpg")))).toBe(SECRET);
  });

  it("may contain any characters", async () => {
    const password = "pä:ss wörd\u{1f511}";
    const { privateKey, publicKey } = await openpgp.generateKey({
      userIDs: { email: "odd@example.org" },
      passphrase: password,
      format: "binary",
      date: new Date(Date.now() - 60_000),
    });
    const recipient = pgp.recipient("odd@example.org", { keyRing: publicKey });
    const wrapped = await recipient.wrap(Buffer.from(SECRET));
    for (const each of [password, Buffer.from(password)]) {
      expect(text(await pgp.key(privateKey, { password: each }).unwrap(wrapped))).toBe(SECRET);
    }
  });

  it("is not derived by Argon2 with too many passes or too much memory", async () => {
    const password = "secret";
    const { enums } = openpgp;
    const { privateKey, publicKey } = await openpgp.generateKey({
      userIDs: { email: "argon@example.org" },
      passphrase: password,
      format: "binary",
      date: new Date(Date.now() - 60_000),
      config: {
        aeadProtect: true,
        s2kType: enums.s2k.argon2,
        s2kArgon2Params: { passes: 1, parallelism: 1, memoryExponent: 10 },
      },
    });
    const recipient = pgp.recipient("argon@example.org", { keyRing: publicKey });
    const wrapped = await recipient.wrap(Buffer.from(SECRET));
    expect(text(await pgp.key(privateKey, { password }).unwrap(wrapped))).toBe(SECRET);
    for (const [passes, exponent] of [[255, 16], [1, 19], [1, 30]] as const) {
      const costly = Buffer.from(privateKey);
      // RFC 9580 section 3.7.1.4: 4, a salt of 16 bytes, passes, parallelism, memory.
      for (let at = 0; at + 20 <= costly.length; at++) {
        const isSpecifier = [[0, 4], [17, 1], [18, 1], [19, 10]].every(([i, byte]) => costly[at + i!] === byte);
        if (isSpecifier) costly.set([passes, 1, exponent], at + 17);
      }
      const start = process.cpuUsage();
      const unwrapping = pgp.key(costly, { password }).unwrap(wrapped);
      expect(await codeOf(() => unwrapping)).toBe("KEY_UNSUPPORTED");
      expect(process.cpuUsage(start).user / 1000).toBeLessThan(1500);
    }
  }); // prettier-ignore

  it("bytes that are not UTF-8 are rejected", () => {
    expect(() => pgp.key(locked, { password: Uint8Array.of(0xff) })).toThrow(TypeError);
  });

  it("many layers at the same time unlock the key once", async () => {
    const key = pgp.key(locked, { password: "secret" });
    const wrapped = await wrap();
    const original = Reflect.get(openpgp.SecretKeyPacket.prototype, "decrypt");
    const unlock = vi.spyOn(openpgp.SecretKeyPacket.prototype, "decrypt");
    unlock.mockImplementation(async function (this: openpgp.SecretKeyPacket, password) {
      // All the others come along meanwhile.
      await setTimeout(50);
      await original.call(this, password);
    });
    const opened = await Promise.all(Array.from({ length: 8 }, () => key.unwrap(wrapped)));
    expect(opened.map(text)).toEqual(Array(8).fill(SECRET));
    expect(unlock).toHaveBeenCalledTimes(1);
    unlock.mockRestore();
  });
});

suite("explanations and aborts", () => {
  const key = pgp.key(gnupg("dsa.sec.asc"));

  it("names the needed key and the given key", () => {
    expect(key.explain?.(gnupg("nist.gpg"))).toBe(
      "it is for ECDH key 0xd943d73eca5f535f; the given key is 0x740d4b6552493826",
    );
    expect(key.explain?.(gnupg("hidden.gpg"))).toBe(
      "it is for a hidden ECDH recipient; the given key is 0x740d4b6552493826",
    );
  });

  it("an aborted operation does nothing", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(key.unwrap(gnupg("dsa.gpg"), { signal })).rejects.toThrow("enough");
  });
});
