import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as engine from "#engine/bytes";

const bytes = fc.uint8Array({ maxLength: 100 });
const view = (value: Uint8Array): Buffer => Buffer.from(value);

/** Node.js takes some other characters above U+00FF for digits. */
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom(...Array.from("ABZabz09+/-_ \n=")) }),
  fc.string({ unit: fc.constantFrom(...Array.from("0123456789abcdefABCDEF")) }),
  fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
);

describe("text and bytes are converted as Node.js does it", () => {
  it.each([
    ["toUtf8", "utf8"],
    ["toLatin1", "latin1"],
    ["toBase64", "base64"],
    ["toBase64url", "base64url"],
    ["toHex", "hex"],
  ] as const)("%s", (name, encoding) => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(engine[name](value)).toBe(view(value).toString(encoding));
        // A view of a part.
        expect(engine[name](value.subarray(1))).toBe(view(value.subarray(1)).toString(encoding));
      }),
    );
  });

  it.each([
    ["fromUtf8", "utf8"],
    ["fromLatin1", "latin1"],
    ["fromBase64", "base64"],
    ["fromHex", "hex"],
  ] as const)("%s", (name, encoding) => {
    fc.assert(
      fc.property(text, (value) => {
        expect(view(engine[name](value))).toEqual(Buffer.from(value, encoding));
      }),
      { numRuns: 1000 },
    );
  });

  it("concat", () => {
    fc.assert(
      fc.property(fc.array(bytes), (parts) => {
        expect(view(engine.concat(parts))).toEqual(Buffer.concat(parts));
      }),
    );
  });

  it("keeps a byte order mark", () => {
    expect(engine.toUtf8(Buffer.from("\uFEFFa"))).toBe("\uFEFFa");
  });
});
