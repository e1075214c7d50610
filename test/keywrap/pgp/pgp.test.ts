import * as openpgp from "openpgp";
import { describe as suite, expect, it } from "vitest";
import { describe } from "../../../src/keywrap/pgp/message.js";
import { pgp } from "../../../src/keywrap/pgp/index.js";
import { codeOf, gnupg, packet, peer, text } from "./support.js";

const RING = peer("keys/pgp/ALL.pub.gpg");
const PLAIN = Buffer.from("private options");

async function keyIdFor(name: string, keyRing: Uint8Array | string): Promise<string | undefined> {
  const wrapped = await pgp.recipient(name, { keyRing }).wrap(PLAIN);
  return describe(wrapped)[0]?.keyId;
}

suite("the key that a name means", () => {
  // The key ids of the subkeys that encrypt are those that gpg --list-keys shows.
  const cases: [string, string][] = [
    ["rsa2048@example.org", "0xae8ee6e641d41feb"],
    ["RSA2048@Example.ORG", "0xae8ee6e641d41feb"],
    ["Rsa Two", "0xae8ee6e641d41feb"],
    ["Rsa Two <rsa2048@example.org>", "0xae8ee6e641d41feb"],
    ["2191DBCA0F29ACA9", "0xae8ee6e641d41feb"],
    ["0x2191dbca0f29aca9", "0xae8ee6e641d41feb"],
    ["AE8EE6E641D41FEB", "0xae8ee6e641d41feb"],
    ["1A56A348BF8160BD046582D82191DBCA0F29ACA9", "0xae8ee6e641d41feb"],
    ["1A56 A348 BF81 60BD 0465  82D8 2191 DBCA 0F29 ACA9", "0xae8ee6e641d41feb"],
    ["327386F21CEA133C5D1432ADAE8EE6E641D41FEB", "0xae8ee6e641d41feb"],
    ["rsa4096@example.org", "0xaf2cef05dce33ce7"],
    ["cv25519@example.org", "0x6918d2f65daf1be2"],
    ["nistp256@example.org", "0xa8f5154f847ffd11"],
    ["nistp384@example.org", "0xe5575db36072f901"],
    ["nistp521@example.org", "0x7ba8dc3ecc89ca84"],
    ["dsaelg@example.org", "0xc32e730c35ecd9b2"],
  ];
  it.each(cases)("%s", async (name, keyId) => {
    expect(await keyIdFor(name, RING)).toBe(keyId);
  });

  it.each([
    "rsa2048",
    "example.org",
    "@example.org",
    "<rsa2048@example.org>",
    "rsa two",
    "0F29ACA9",
    "2191DBCA0F29ACA8",
    "*",
    "nobody@example.org",
    "--export",
  ])("none for %s", async (name) => {
    const code = await codeOf(() => pgp.recipient(name, { keyRing: RING }));
    expect(code).toBe("RECIPIENT_NOT_FOUND");
  });

  it.each(["", "  ", "a\0b"])("a name must be valid: %j", (name) => {
    expect(() => pgp.recipient(name, { keyRing: RING })).toThrow(TypeError);
  });

  it("a user id may have no e-mail, or a comment", async () => {
    const noEmail = peer("keys/pgp/noemail.pub.gpg");
    expect(await keyIdFor("No Email Here", noEmail)).toBe("0x3d23b1940df50b03");
    const renewed = gnupg("renewed.pub.asc");
    expect(await keyIdFor("Renewed Key (new one)", renewed)).toBe("0xe2f4a470dd5aabac");
  });

  it("the newest subkey is used, as in gpg", async () => {
    const ring = gnupg("rotated.pub.asc");
    expect(await keyIdFor("rotated@example.org", ring)).toBe("0xdc9e220178e8f6e1");
  });

  it("a named subkey is used, as in gpg with an exclamation mark", async () => {
    const ring = gnupg("rotated.pub.asc");
    expect(await keyIdFor("79FCC9E0FB3A830B", ring)).toBe("0x79fcc9e0fb3a830b");
    const fingerprint = "D6F7684AFA62CA1C6AE06CF979FCC9E0FB3A830B";
    expect(await keyIdFor(fingerprint, ring)).toBe("0x79fcc9e0fb3a830b");
  });

  it("an expired key gives way to a newer one", async () => {
    const ring = gnupg("renewed.pub.asc");
    expect(await keyIdFor("renewed@example.org", ring)).toBe("0xe2f4a470dd5aabac");
    expect(await keyIdFor("Renewed Key", ring)).toBe("0xe2f4a470dd5aabac");
  });

  it("several usable keys are rejected, with their fingerprints in the message", async () => {
    const ring = gnupg("twins.pub.asc");
    const wrap = pgp.recipient("twin@example.org", { keyRing: ring }).wrap(PLAIN);
    await expect(wrap).rejects.toMatchObject({
      code: "RECIPIENT_AMBIGUOUS",
      message: expect.stringContaining("0D626E65BFB8F09A3033373CD06016DF82A75867") as string,
    });
    const second = await keyIdFor("0D626E65BFB8F09A3033373CD06016DF82A75867", ring);
    expect(second).toBe("0x0c23814e2398fac2");
    expect(await keyIdFor("Twin Number 1", ring)).toBe("0x14bd4a9c45fbea7b");
  });

  it("a key that occurs twice is one key", async () => {
    const twice = Buffer.concat([RING, RING]);
    expect(await keyIdFor("rsa2048@example.org", twice)).toBe("0xae8ee6e641d41feb");
  });
});

suite("keys that are refused", () => {
  const cases: [string, string, Uint8Array, string][] = [
    ["expired", "expired@example.org", peer("keys/pgp/expired.pub.gpg"), "KEY_EXPIRED"],
    ["expired, by key id", "340D57B5232073C7", peer("keys/pgp/expired.pub.gpg"), "KEY_EXPIRED"],
    [
      "an expired subkey, by key id",
      "17E48421C93C3857",
      gnupg("subexpired.pub.asc"),
      "KEY_EXPIRED",
    ],
    ["with expired subkeys", "subexpired@example.org", gnupg("subexpired.pub.asc"), "KEY_EXPIRED"],
    ["revoked", "revoked@example.org", gnupg("revoked.pub.asc"), "KEY_REVOKED"],
    [
      "revoked in one of two copies",
      "revoked@example.org",
      Buffer.concat([gnupg("revoked.pub.asc"), gnupg("revoked-before.pub.asc")]),
      "KEY_REVOKED",
    ],
    [
      "revoked in the other of two copies",
      "revoked@example.org",
      Buffer.concat([gnupg("revoked-before.pub.asc"), gnupg("revoked.pub.asc")]),
      "KEY_REVOKED",
    ],
    ["with a revoked name", "Gone Name", gnupg("gone.pub.asc"), "KEY_REVOKED"],
    ["RSA 1024", "weak@example.org", gnupg("weak.pub.asc"), "KEY_UNSUPPORTED"],
    ["ElGamal 1024", "weakelg@example.org", gnupg("weakelg.pub.asc"), "KEY_UNSUPPORTED"],
    ["only for signing", "sign@example.org", gnupg("sign.pub.asc"), "KEY_UNSUPPORTED"],
    ["Brainpool", "brainpool@example.org", gnupg("brainpool.pub.asc"), "KEY_UNSUPPORTED"],
    ["secp256k1", "secp256k1@example.org", gnupg("secp256k1.pub.asc"), "KEY_UNSUPPORTED"],
  ];
  it.each(cases)("%s", async (_, name, keyRing, code) => {
    const recipient = pgp.recipient(name, { keyRing });
    expect(await codeOf(() => recipient.wrap(PLAIN))).toBe(code);
  });

  it("a key is used before its revocation is known", async () => {
    const keyId = await keyIdFor("revoked@example.org", gnupg("revoked-before.pub.asc"));
    expect(keyId).toBe("0x41fb4f7a69a90f6f");
  });

  it("another name of the key, and its key id, can be used if one name is revoked", async () => {
    const ring = gnupg("gone.pub.asc");
    expect(await keyIdFor("kept@example.org", ring)).toBe("0xc1b10b9a6ab1ae74");
    expect(await keyIdFor("46F6B70D91F18664", ring)).toBe("0xc1b10b9a6ab1ae74");
  });

  it.each(["brainpool", "secp256k1"])("says which package %s needs", async (name) => {
    const keyRing = gnupg(`${name}.pub.asc`);
    const recipient = pgp.recipient(`${name}@example.org`, { keyRing });
    await expect(recipient.wrap(PLAIN)).rejects.toThrow(/eckey-utils/);
  });
});

suite("key rings", () => {
  const rsa = peer("keys/pgp/rsa2048.pub.gpg");
  // The primary key's packet of rsa2048 has a legacy header with a length of two octets.
  const primaryEnd = 3 + Buffer.from(rsa).readUInt16BE(1);
  const withAfterPrimary = (...packets: Buffer[]): Buffer =>
    Buffer.concat([rsa.subarray(0, primaryEnd), ...packets, rsa.subarray(primaryEnd)]);

  const spoiled: [string, Uint8Array][] = [
    ["armoured", peer("keys/pgp/rsa2048.pub.asc")],
    ["after a key of version 3", Buffer.concat([packet(6, [3], Buffer.alloc(60)), RING])],
    ["after a key of version 9", Buffer.concat([packet(6, [9], Buffer.alloc(60)), RING])],
    [
      "after a key of an unknown algorithm",
      Buffer.concat([packet(6, [4, 0, 0, 0, 0, 99, 1]), RING]),
    ],
    ["after a damaged key", Buffer.concat([packet(6, [4, 0, 0, 0, 0, 1, 0xff, 0xff, 1]), RING])],
    ["after an empty key", Buffer.concat([packet(6), RING])],
    ["after stray packets", Buffer.concat([packet(2, [4]), packet(13, [65]), RING])],
    [
      "before a Brainpool key",
      Buffer.concat([
        gnupg("rotated.pub.asc"),
        peer("keys/pgp/rsa2048.pub.asc"),
        gnupg("brainpool.pub.asc"),
      ]),
    ],
    ["with a user id that is no address", withAfterPrimary(packet(13, Buffer.from("<<<@@ >")))],
    ["with a user id that is not UTF-8", withAfterPrimary(packet(13, [0xff, 0xfe, 0xc0]))],
    ["with an empty user id", withAfterPrimary(packet(13))],
    ["with a user id of 100 kB", withAfterPrimary(packet(13, Buffer.alloc(100_000, 65)))],
    ["with a damaged signature", withAfterPrimary(packet(2, [4, 0x13, 1]))],
    ["with a damaged photo", withAfterPrimary(packet(17, [0xff]))],
    ["with a damaged subkey", Buffer.concat([rsa, packet(14, [4, 1, 2])])],
    [
      "with trust and unknown packets",
      withAfterPrimary(packet(12, [1, 2]), packet(60, [1]), packet(39, [1])),
    ],
  ];
  it.each(spoiled)("%s", async (_, ring) => {
    expect(await keyIdFor("rsa2048@example.org", ring)).toBe("0xae8ee6e641d41feb");
  });

  it("as a string", async () => {
    const ring = Buffer.from(peer("keys/pgp/rsa2048.pub.asc")).toString("latin1");
    expect(await keyIdFor("rsa2048@example.org", ring)).toBe("0xae8ee6e641d41feb");
    const windows = `Dear friend,\r\n\r\n${ring.replaceAll("\n", "\r\n")}`;
    expect(await keyIdFor("rsa2048@example.org", windows)).toBe("0xae8ee6e641d41feb");
    const headed = ring.replace("BLOCK-----\n", "BLOCK-----\nVersion: old\nComment: a: b\n");
    expect(await keyIdFor("rsa2048@example.org", headed)).toBe("0xae8ee6e641d41feb");
  });

  it("a name that the key's owner has not signed is not accepted", async () => {
    const ring = withAfterPrimary(packet(13, Buffer.from("boss@example.org")));
    const recipient = pgp.recipient("boss@example.org", { keyRing: ring });
    expect(await codeOf(() => recipient.wrap(PLAIN))).toBe("KEY_UNSUPPORTED");
  });

  it("a subkey that the key's owner has not signed is not used", async () => {
    const foreign = gnupg("rotated.pub.asc");
    const subkeys = await openpgp.readKey({ armoredKey: Buffer.from(foreign).toString("latin1") });
    const subkey = subkeys.subkeys[0]!.keyPacket.write();
    const ring = Buffer.concat([rsa, packet(14, subkey)]);
    expect(await keyIdFor("rsa2048@example.org", ring)).toBe("0xae8ee6e641d41feb");
    const recipient = pgp.recipient("79FCC9E0FB3A830B", { keyRing: ring });
    expect(await codeOf(() => recipient.wrap(PLAIN))).toBe("KEY_UNSUPPORTED");
  });

  const keyBox = Buffer.alloc(64);
  keyBox.write("KBXf", 8, "latin1");
  const refused: [string, Uint8Array | string, string][] = [
    ["a secret key", peer("keys/pgp/rsa2048.sec.gpg"), "KEY_IS_PRIVATE"],
    ["an armoured secret key", peer("keys/pgp/rsa2048.sec.asc"), "KEY_IS_PRIVATE"],
    [
      "secret keys among public ones",
      Buffer.concat([RING, peer("keys/pgp/pass.sec.gpg")]),
      "KEY_IS_PRIVATE",
    ],
    ["nothing", new Uint8Array(), "KEY_UNRECOGNIZED"],
    ["an empty string", "", "KEY_UNRECOGNIZED"],
    ["a name", "rsa2048@example.org", "KEY_UNRECOGNIZED"],
    ["a PEM file", peer("keys/rsa2048.pub.pem"), "KEY_UNRECOGNIZED"],
    ["a DER file", peer("keys/rsa2048.pub.der"), "KEY_UNRECOGNIZED"],
    ["a message", gnupg("nist.gpg"), "KEY_UNRECOGNIZED"],
    ["an armoured message", gnupg("armored.asc"), "KEY_UNRECOGNIZED"],
    ["a key box", keyBox, "KEY_UNRECOGNIZED"],
    ["a ring that is cut off", RING.subarray(0, 1000), "KEY_UNRECOGNIZED"],
    [
      "damaged armour",
      Buffer.from(peer("keys/pgp/rsa2048.pub.asc")).toString("latin1").replace("\n\n", "\n\n*"),
      "KEY_UNRECOGNIZED",
    ],
  ];
  it.each(refused)("rejects %s", async (_, keyRing, code) => {
    expect(await codeOf(() => pgp.recipient("rsa2048@example.org", { keyRing }))).toBe(code);
  });
});

suite("the message that is written", () => {
  it("can be read by gpg 2.2 and old ocicrypt, whatever the key's features are", async () => {
    const { privateKey, publicKey } = await openpgp.generateKey({
      userIDs: { name: "New", email: "new@example.org" },
      format: "binary",
      date: new Date(Date.now() - 60_000),
      config: { aeadProtect: true },
    });
    const encrypted = await openpgp.encrypt({
      message: await openpgp.createMessage({ text: "" }),
      encryptionKeys: (await openpgp.readKey({ binaryKey: publicKey })).toPublic(),
      format: "object",
    });
    const versionsOf = (packets: ArrayLike<unknown>): unknown[] =>
      Array.from(packets, (each) => (each as { version: number }).version);
    // The version that the key prefers, and that OpenPGP.js writes by default.
    expect(versionsOf(encrypted.packets)).toEqual([6, 2]);

    const wrapped = await pgp.recipient("new@example.org", { keyRing: publicKey }).wrap(PLAIN);
    const { packets } = await openpgp.readMessage({ binaryMessage: wrapped });
    expect(versionsOf(packets)).toEqual([3, 1]);
    expect(text(await pgp.key(privateKey).unwrap(wrapped))).toBe("private options");
  });

  it.each([
    ["nist", "aes256"],
    ["oldcipher", "aes128"],
  ])("for %s uses %s, as the key prefers", async (name, algorithm) => {
    const keyRing = gnupg(`${name}.pub.asc`);
    const wrapped = await pgp.recipient(`${name}@example.org`, { keyRing }).wrap(PLAIN);
    const armoredKey = Buffer.from(gnupg(`${name}.sec.asc`)).toString("latin1");
    const sessionKeys = await openpgp.decryptSessionKeys({
      message: await openpgp.readMessage({ binaryMessage: wrapped }),
      decryptionKeys: await openpgp.readPrivateKey({ armoredKey }),
    });
    expect(sessionKeys.map((each) => each.algorithm)).toEqual([algorithm]);
  });

  it("differs each time, and does not change the secret", async () => {
    const recipient = pgp.recipient("nist@example.org", { keyRing: gnupg("nist.pub.asc") });
    const secret = Buffer.from("private options");
    const [one, two] = await Promise.all([recipient.wrap(secret), recipient.wrap(secret)]);
    expect(Buffer.from(one).equals(two)).toBe(false);
    expect(secret.toString()).toBe("private options");
  });

  it.each([0, 1, 193, 5000])("preserves %i bytes unchanged", async (size) => {
    const bytes = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7) % 256));
    const recipient = pgp.recipient("dsa@example.org", { keyRing: gnupg("dsa.pub.asc") });
    const opened = await pgp.key(gnupg("dsa.sec.asc")).unwrap(await recipient.wrap(bytes));
    expect(opened === null ? null : Buffer.from(opened)).toEqual(bytes);
  });
});

suite("a key with numbers that hide nothing is rejected", () => {
  interface Packet {
    algorithm: number;
    publicParams: Record<string, Uint8Array>;
    computeFingerprintAndKeyID: () => Promise<void>;
  }

  /** Changes the numbers of the only subkey, and signs it again with the primary key. */
  async function changed(
    secretKey: Uint8Array,
    change: (packet: Packet) => void,
  ): Promise<Uint8Array> {
    const key = await openpgp.readPrivateKey({ binaryKey: secretKey });
    const [subkey] = key.subkeys as [openpgp.Subkey];
    const packet = subkey.keyPacket as unknown as Packet;
    change(packet);
    await packet.computeFingerprintAndKeyID();
    const { enums } = openpgp;
    const signature = Object.assign(new openpgp.SignaturePacket(), {
      signatureType: enums.signature.subkeyBinding,
      publicKeyAlgorithm: key.keyPacket.algorithm,
      hashAlgorithm: enums.hash.sha256,
      keyFlags: [enums.keyFlags.encryptCommunication | enums.keyFlags.encryptStorage],
    });
    // The declared types lack the last parameters.
    const sign = signature.sign.bind(signature) as (...values: unknown[]) => Promise<void>;
    const signed = { key: key.keyPacket, bind: packet };
    await sign(key.keyPacket, signed, new Date(), false, openpgp.config);
    subkey.bindingSignatures = [signature];
    return key.toPublic().write();
  }

  const rsa = openpgp.generateKey({
    type: "rsa",
    rsaBits: 2048,
    userIDs: [{ email: "rsa@example.org" }],
    format: "binary",
  });

  it("unless only the signature is new", async () => {
    const ring = await changed((await rsa).privateKey, () => undefined);
    expect(await keyIdFor("rsa@example.org", ring)).toMatch(/^0x/);
  });

  const RSA: [string, (numbers: Packet["publicParams"]) => void][] = [
    ["an exponent of 1", (numbers) => (numbers.e = Uint8Array.of(1))],
    ["an even exponent", (numbers) => (numbers.e = Uint8Array.of(4))],
    ["an even modulus", ({ n }) => (n![n!.length - 1]! &= 0xfe)],
  ];
  it.each(RSA)("RSA with %s", async (_, change) => {
    const ring = await changed((await rsa).privateKey, ({ publicParams }) => {
      change(publicParams);
    });
    expect(await codeOf(() => keyIdFor("rsa@example.org", ring))).toBe("KEY_UNSUPPORTED");
  });

  const p = new Uint8Array(256).fill(0xff);
  it.each([
    ["a public number of 1", Uint8Array.of(2), Uint8Array.of(1)],
    ["a public number of -1", Uint8Array.of(2), p.with(255, 0xfe)],
    ["a base of 1", Uint8Array.of(1), Uint8Array.of(5)],
  ])("ElGamal with %s", async (_, g, y) => {
    const ring = await changed((await rsa).privateKey, (packet) => {
      packet.algorithm = openpgp.enums.publicKey.elgamal;
      packet.publicParams = { p, g, y };
    });
    expect(await codeOf(() => keyIdFor("rsa@example.org", ring))).toBe("KEY_UNSUPPORTED");
  });
});
