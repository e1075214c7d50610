import { describe, expect, it } from "vitest";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import { outcome, readFixture, readKey, readMessage, readVector } from "./files.js";

const privateKey = readKey("rsa2048.pkcs8.pem");
const key = pkcs7.key(privateKey, { certificate: readKey("cert-rsa2048.pem") });
const keyAlone = pkcs7.key(privateKey);
const peerKey = pkcs7.key(readVector("layers/keys/rsa2048.pem"), {
  certificate: readVector("layers/keys/cert-rsa2048.pem"),
});

const MESSAGES = [
  { name: "mozilla", message: readMessage("pkcs7-1rec"), key: peerKey },
  { name: "smallstep", message: readMessage("pkcs7-smallstep-shape"), key: peerKey },
  { name: "aes-128-cbc", message: readFixture("aes-128-cbc.cms"), key },
  { name: "indefinite-gcm", message: readFixture("indefinite-gcm.cms"), key },
  { name: "oaep-sha256", message: readFixture("oaep-sha256.cms"), key },
];

describe("a damaged message", () => {
  it.each(MESSAGES)("$name cut off anywhere is WRAPPED_KEY_INVALID", async ({ message, key }) => {
    for (let size = 0; size < message.byteLength; size++) {
      const cut = message.subarray(0, size);
      expect(await outcome(key.unwrap(cut))).toBe("WRAPPED_KEY_INVALID");
    }
  });

  it.each(MESSAGES)(
    "$name with bytes after it is WRAPPED_KEY_INVALID",
    async ({ message, key }) => {
      const longer = Buffer.concat([message, Buffer.of(0, 0)]);
      expect(await outcome(key.unwrap(longer))).toBe("WRAPPED_KEY_INVALID");
    },
  );

  it.each(MESSAGES)("$name with any byte changed never opens to something else", async (one) => {
    const { message, key } = one;
    const secret = await outcome(key.unwrap(message));
    const seen = new Set<string | null>();
    for (let index = 0; index < message.byteLength; index++) {
      const changed = Buffer.from(message);
      changed.writeUInt8(changed.readUInt8(index) ^ 0x01, index);
      seen.add(await outcome(key.unwrap(changed)));
    }
    // A version, for example, does not matter. CBC cannot detect a change that only touches the
    // digest or gives another valid layer key; it must give private options all the same.
    seen.delete(secret);
    const codes = [null, "WRAPPED_KEY_INVALID", "WRAPPED_KEY_UNSUPPORTED"];
    const others = [...seen].filter((result) => !codes.includes(result));
    if (one.name !== "aes-128-cbc") expect(others).toEqual([]);
    for (const other of others) {
      expect(Buffer.from(other!, "hex").toString()).toMatch(/^\{"symkey":"/);
    }
    expect(seen).toContain("WRAPPED_KEY_INVALID");
  });

  it("fails in the same way wherever it was changed", async () => {
    const message = readFixture("aes-128-cbc.cms");
    const messages = new Set<string>();
    // The encrypted key at 113, and the content's last and last but one blocks at the end.
    for (const index of [113 + 4, 113 + 100, message.byteLength - 1, message.byteLength - 17]) {
      const changed = Buffer.from(message);
      changed.writeUInt8(changed.readUInt8(index) ^ 0x10, index);
      await key.unwrap(changed).catch((error: unknown) => messages.add(String(error)));
      expect(await keyAlone.unwrap(changed)).toBeNull();
    }
    expect([...messages]).toEqual([
      "OcicryptError: a CMS message names the key's certificate, but the key does not open it",
    ]);
  });
});
