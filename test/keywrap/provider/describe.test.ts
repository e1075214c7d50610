import { describe, expect, it } from "vitest";
import { describe as describeProvider } from "../../../src/keywrap/provider/messages.js";

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value), "utf8");

describe("describe", () => {
  it.each<[string, Uint8Array, { algorithm: string; keyId?: string }]>([
    [
      "the packet of Confidential Containers",
      json({ kid: "kbs:///repo/type/tag", wrapped_data: "AA==", iv: "", wrap_type: "A256GCM" }),
      { algorithm: "A256GCM", keyId: "kbs:///repo/type/tag" },
    ],
    [
      "the packet of ocicrypt's documentation",
      json({ key_url: "https://key-provider/uuid", wrapped_key: "AA==", wrap_type: "AES" }),
      { algorithm: "AES", keyId: "https://key-provider/uuid" },
    ],
    [
      "a key without algorithm",
      json({ key_url: "spike" }),
      { algorithm: "provider", keyId: "spike" },
    ],
    ["kid before key_url", json({ kid: "a", key_url: "b" }), { algorithm: "provider", keyId: "a" }],
    ["an algorithm without key", json({ wrap_type: "AES" }), { algorithm: "provider" }],
    ["bytes", Buffer.from([0xff, 0x00]), { algorithm: "provider" }],
    ["nothing", Buffer.alloc(0), { algorithm: "provider" }],
    ["a list", json([{ kid: "a" }]), { algorithm: "provider" }],
    ["null", json(null), { algorithm: "provider" }],
    ["names that are no texts", json({ kid: { a: 1 }, key_url: 7 }), { algorithm: "provider" }],
    ["empty names", json({ kid: "", key_url: " \n" }), { algorithm: "provider" }],
    [
      "a name that writes on the terminal",
      json({ kid: "a\u001b[31m\u202eb\nc\u200bd", wrap_type: "x\u0007" }),
      { algorithm: "x", keyId: "a [31m b c d" },
    ],
    [
      "a name without end",
      json({ kid: "k".repeat(100_000) }),
      { algorithm: "provider", keyId: `${"k".repeat(200)}…` },
    ],
  ])("describes %s", (_what, wrapped, info) => {
    expect(describeProvider(wrapped)).toEqual([info]);
  });
});
