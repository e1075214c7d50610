import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeBase64, encodeBase64 } from "../../src/spec/base64.js";

describe("decodeBase64", () => {
  // RFC 4648, section 10
  it.each([
    ["", ""],
    ["Zg==", "f"],
    ["Zm8=", "fo"],
    ["Zm9v", "foo"],
    ["Zm9vYg==", "foob"],
    ["Zm9vYmE=", "fooba"],
    ["Zm9vYmFy", "foobar"],
  ])("reads %j", (text, expected) => {
    expect(Buffer.from(decodeBase64(text)!).toString()).toBe(expected);
    expect(encodeBase64(Buffer.from(expected))).toBe(text);
  });

  it.each([["Zm9v\nYmFy"], ["Zm9v\r\nYmFy\r\n"], ["\nZ\nm\n9\nv\nYmFy"], ["Zm9vYmF\ny"]])(
    "skips the line breaks of %j, as Go does",
    (text) => {
      expect(Buffer.from(decodeBase64(text)!).toString()).toBe("foobar");
    },
  );

  it.each([
    ["no padding", "Zg"],
    ["half the padding", "Zg="],
    ["too much padding", "Zg==="],
    ["padding alone", "===="],
    ["padding inside", "Zg==Zg=="],
    ["one character", "Z"],
    ["a leading space", " Zm9v"],
    ["a trailing space", "Zm9v "],
    ["a space that keeps the length", "Zm9 "],
    ["a tab", "Zm9v\tYmFy"],
    ["the URL alphabet", "-_-_"],
    ["a comma", "Zm9v,Zm9v"],
    ["a character outside ASCII", "Zm9ü"],
    ["a NUL", "Zm9\0"],
  ])("rejects %s", (_, text) => {
    expect(decodeBase64(text)).toBeNull();
  });

  it("decodes encoded bytes, wherever they are in their buffer", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), (bytes, offset) => {
        const view = bytes.subarray(offset);
        const text = encodeBase64(view);
        expect(text).toBe(Buffer.from(view).toString("base64"));
        expect(Buffer.from(decodeBase64(text)!)).toEqual(Buffer.from(view));
      }),
      { numRuns: 100 },
    );
  });

  it("rejects base64 with one wrong character", () => {
    const wrong = fc.constantFrom(" ", "-", "_", ",", ".", "\t", "\0", "é", "\u2028", "\ufeff");
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 60 }),
        fc.nat(),
        wrong,
        (bytes, at, character) => {
          const text = Buffer.from(bytes).toString("base64");
          const place = at % text.length;
          const damaged = text.slice(0, place) + character + text.slice(place + 1);
          expect(decodeBase64(damaged)).toBeNull();
        },
      ),
      { numRuns: 100 },
    );
  });
});
