import { describe as suite, expect, it } from "vitest";
import { describe } from "../../../src/keywrap/pgp/message.js";
import { codeOf, gnupg, packet, sessionKey } from "./support.js";

const DATA = packet(18, [1], Buffer.alloc(40));
const NIST = "d943d73eca5f535f";

suite("what a message says of its recipients", () => {
  // The key ids are those that gpg --list-packets shows.
  const cases: [string, object[]][] = [
    ["nist.gpg", [{ algorithm: "ECDH", keyId: "0xd943d73eca5f535f" }]],
    ["armored.asc", [{ algorithm: "ECDH", keyId: "0xd943d73eca5f535f" }]],
    ["dsa.gpg", [{ algorithm: "ElGamal", keyId: "0x740d4b6552493826" }]],
    ["weak.gpg", [{ algorithm: "RSA", keyId: "0x81b9e534ee6b085b" }]],
    [
      "two.gpg",
      [
        { algorithm: "ElGamal", keyId: "0x740d4b6552493826" },
        { algorithm: "ECDH", keyId: "0xd943d73eca5f535f" },
      ],
    ],
    ["hidden-two.gpg", [{ algorithm: "ElGamal" }, { algorithm: "ECDH" }]],
    ["password-and-key.gpg", [{ algorithm: "ECDH", keyId: "0xd943d73eca5f535f" }]],
  ];
  it.each(cases)("%s", (name, recipients) => {
    expect(describe(gnupg(name))).toEqual(recipients);
  });

  it("names an unknown algorithm by its number", () => {
    const message = Buffer.concat([sessionKey(NIST, 99, Buffer.alloc(8)), DATA]);
    expect(describe(message)).toEqual([{ algorithm: "algorithm 99", keyId: `0x${NIST}` }]);
  });

  it("derives the key id of version 6 recipients from the fingerprint", () => {
    const fingerprint = Buffer.from(Array.from({ length: 32 }, (_, index) => index + 1));
    const message = Buffer.concat([
      packet(1, [6, 33, 6], fingerprint, [25, 0]),
      packet(1, [6, 21, 4], fingerprint.subarray(0, 20), [25, 0]),
      packet(1, [6, 0, 25, 0]),
      DATA,
    ]);
    expect(describe(message)).toEqual([
      { algorithm: "X25519", keyId: "0x0102030405060708" },
      { algorithm: "X25519", keyId: "0x0d0e0f1011121314" },
      { algorithm: "X25519" },
    ]);
  });

  it("skips markers, padding, uncritical packets, and recipients of other versions", () => {
    const message = Buffer.concat([
      packet(10, Buffer.from("PGP")),
      packet(60, [1, 2, 3]),
      packet(1, [2], Buffer.alloc(20)),
      sessionKey(NIST, 18, Buffer.alloc(8)),
      DATA,
      packet(21, Buffer.alloc(100)),
    ]);
    expect(describe(message)).toHaveLength(1);
  });
});

suite("messages that are refused", () => {
  const recipient = sessionKey(NIST, 18, Buffer.alloc(8));
  const armored = Buffer.from(gnupg("armored.asc")).toString("latin1");
  const cases: [string, Uint8Array, string][] = [
    ["nothing", new Uint8Array(), "WRAPPED_KEY_INVALID"],
    ["text", Buffer.from("hello"), "WRAPPED_KEY_INVALID"],
    ["JSON", Buffer.from("{}"), "WRAPPED_KEY_INVALID"],
    ["more than 1 MiB", packet(18, Buffer.alloc(1024 * 1024)), "WRAPPED_KEY_INVALID"],
    [
      "more than 1024 packets",
      Buffer.concat([...Array<Buffer>(1024).fill(recipient), DATA]),
      "WRAPPED_KEY_INVALID",
    ],
    ["no encrypted data", recipient, "WRAPPED_KEY_INVALID"],
    ["no recipient", DATA, "WRAPPED_KEY_UNSUPPORTED"],
    [
      "a length past the end",
      Uint8Array.of(0xd2, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
      "WRAPPED_KEY_INVALID",
    ],
    [
      "a recipient in parts",
      Buffer.concat([[0xc1, 0xe1, 3, 0, 0].map((byte) => Uint8Array.of(byte)), [DATA]].flat()),
      "WRAPPED_KEY_INVALID",
    ],
    [
      "a recipient without length",
      Buffer.concat([Uint8Array.of(0x87, 3), Buffer.alloc(30)]),
      "WRAPPED_KEY_INVALID",
    ],
    [
      "parts without an end",
      Buffer.concat([recipient, Uint8Array.of(0xd2, 0xe1, 1, 0)]),
      "WRAPPED_KEY_INVALID",
    ],
    [
      "a part of 1 GiB",
      Buffer.concat([recipient, Uint8Array.of(0xd2, 0xfe, 1, 0)]),
      "WRAPPED_KEY_INVALID",
    ],
    [
      "a recipient that is cut off",
      Buffer.concat([packet(1, [3, 1, 2]), DATA]),
      "WRAPPED_KEY_INVALID",
    ],
    [
      "a version 6 recipient that is cut off",
      Buffer.concat([packet(1, [6, 33, 6, 1]), DATA]),
      "WRAPPED_KEY_INVALID",
    ],
    ["data after the data", Buffer.concat([recipient, DATA, DATA]), "WRAPPED_KEY_INVALID"],
    [
      "a recipient after the data",
      Buffer.concat([recipient, DATA, recipient]),
      "WRAPPED_KEY_INVALID",
    ],
    [
      "plaintext",
      Buffer.concat([recipient, packet(11, Buffer.from("b\0\0\0\0\0x"))]),
      "WRAPPED_KEY_INVALID",
    ],
    ["compressed plaintext", Buffer.concat([recipient, packet(8, [0])]), "WRAPPED_KEY_INVALID"],
    ["empty data", Buffer.concat([recipient, packet(18)]), "WRAPPED_KEY_INVALID"],
    ["data without integrity protection", gnupg("no-mdc.gpg"), "WRAPPED_KEY_UNSUPPORTED"],
    [
      "data of GnuPG's OCB mode",
      Buffer.concat([recipient, packet(20, [1, 9, 2, 16])]),
      "WRAPPED_KEY_UNSUPPORTED",
    ],
    [
      "data of a version to come",
      Buffer.concat([recipient, packet(18, [3], Buffer.alloc(40))]),
      "WRAPPED_KEY_UNSUPPORTED",
    ],
    ["a password instead of a key", gnupg("password.gpg"), "WRAPPED_KEY_UNSUPPORTED"],
    ["two armoured messages", Buffer.from(armored + armored), "WRAPPED_KEY_INVALID"],
    ["damaged armour", Buffer.from(armored.replace(/\n\n..../, "\n\n*")), "WRAPPED_KEY_INVALID"],
    ["armour without an end", Buffer.from(armored.slice(0, 200)), "WRAPPED_KEY_INVALID"],
    ["an armoured key", gnupg("nist.pub.asc"), "WRAPPED_KEY_INVALID"],
  ];
  it.each(cases)("%s", async (_, message, code) => {
    expect(await codeOf(() => describe(message))).toBe(code);
  });

  it("every message that is cut off is rejected", async () => {
    const whole = gnupg("two.gpg");
    for (let length = 0; length < whole.byteLength; length++) {
      expect(await codeOf(() => describe(whole.subarray(0, length)))).toBe("WRAPPED_KEY_INVALID");
    }
  });
});
