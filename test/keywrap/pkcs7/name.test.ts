import { describe, expect, it } from "vitest";
import { encodeElement, OBJECT_IDENTIFIER, SEQUENCE, SET } from "../../../src/keys/der.js";
import { formatName } from "../../../src/keywrap/pkcs7/recipient-id.js";

const UTF8_STRING = 0x0c;
const COMMON_NAME = "550403";
const UNKNOWN = "2a0304"; // 1.2.3.4

function attribute(oid: string, value: Uint8Array): Uint8Array {
  const type = encodeElement(OBJECT_IDENTIFIER, Buffer.from(oid, "hex"));
  return encodeElement(SEQUENCE, type, value);
}

function commonName(value: string): Uint8Array {
  const string = encodeElement(UTF8_STRING, Buffer.from(value, "utf8"));
  return encodeElement(SEQUENCE, encodeElement(SET, attribute(COMMON_NAME, string)));
}

describe("formatName", () => {
  it.each([
    {
      name: "escapes as RFC 4514",
      value: ` #a,"b"+<c>;\\=d `,
      string: String.raw`CN=\ #a\,\"b\"\+\<c\>\;\\\=d\ `,
    },
    { name: "escapes a leading number sign", value: "#1", string: String.raw`CN=\#1` },
    {
      name: "escapes control characters",
      value: "a\u001b[31m\n\u0000",
      string: String.raw`CN=a\1b[31m\0a\00`,
    },
    {
      name: "escapes a change of direction",
      value: "a\u202eb",
      string: String.raw`CN=a\e2\80\aeb`,
    },
    { name: "keeps other scripts", value: "Ünïcødé 名前", string: "CN=Ünïcødé 名前" },
  ])("$name", ({ value, string }) => {
    expect(formatName(commonName(value))).toBe(string);
  });

  it("joins attributes, last first", () => {
    const string = encodeElement(UTF8_STRING, Buffer.from("x"));
    const octets = encodeElement(0x04, Buffer.of(1));
    const name = encodeElement(
      SEQUENCE,
      encodeElement(SET, attribute("55040a", string)),
      encodeElement(SET, attribute(COMMON_NAME, string), attribute(UNKNOWN, octets)),
    );
    expect(formatName(name)).toBe("CN=x+1.2.3.4=#040101,O=x");
  });

  it("omits the last of fifty attributes", () => {
    const string = encodeElement(UTF8_STRING, Buffer.from("x"));
    const rdns = Array<Uint8Array>(50).fill(encodeElement(SET, attribute(COMMON_NAME, string)));
    expect(formatName(encodeElement(SEQUENCE, ...rdns))).toBe(`…,${Array(20).fill("CN=x").join()}`);
  });

  it("shortens long values, and accepts any bytes", () => {
    expect(formatName(commonName("x".repeat(10_000))).length).toBeLessThan(400);
    expect(formatName(Buffer.from("junk"))).toBe("an unreadable name");
    expect(formatName(new Uint8Array())).toBe("an unreadable name");
  });
});
