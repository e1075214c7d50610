import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { appendWrappedKeys, readWrappedKeys } from "../../src/layer/wrapped-keys.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import { base64, ENC, TAR } from "../support/layers.js";

const JWE = `${ENC}keys.jwe`;
const MIB = 1024 * 1024;

function read(annotations: Record<string, string>, schemes?: string[]): string[] {
  const descriptor = deepFreeze({ mediaType: TAR, annotations });
  return readWrappedKeys(descriptor, schemes).map(
    ({ scheme, index, bytes, error }) =>
      `${scheme}[${String(index)}] ${error?.code ?? Buffer.from(bytes ?? []).toString()}`,
  );
}

describe("readWrappedKeys", () => {
  const a = base64("a");
  const b = base64("b");

  it.each<[string, string, string[]]>([
    ["one", a, ["jwe[0] a"]],
    ["two", `${a},${b}`, ["jwe[0] a", "jwe[1] b"]],
    ["the same twice", `${a},${a}`, ["jwe[0] a", "jwe[1] a"]],
    ["nothing", "", ["jwe[0] ANNOTATION_EMPTY"]],
    ["a comma", ",", ["jwe[0] ANNOTATION_EMPTY", "jwe[1] ANNOTATION_EMPTY"]],
    ["a leading comma", `,${a}`, ["jwe[0] ANNOTATION_EMPTY", "jwe[1] a"]],
    ["a trailing comma", `${a},`, ["jwe[0] a", "jwe[1] ANNOTATION_EMPTY"]],
    ["a double comma", `${a},,${b}`, ["jwe[0] a", "jwe[1] ANNOTATION_EMPTY", "jwe[2] b"]],
    ["a bad one first", `!,${b}`, ["jwe[0] ANNOTATION_BASE64", "jwe[1] b"]],
    ["a bad one last", `${a},YQ`, ["jwe[0] a", "jwe[1] ANNOTATION_BASE64"]],
    ["a space", `${a}, ${b}`, ["jwe[0] a", "jwe[1] ANNOTATION_BASE64"]],
    ["the URL alphabet", `-_-_,${b}`, ["jwe[0] ANNOTATION_BASE64", "jwe[1] b"]],
    ["line breaks", `Y\nQ==\r\n,${b}`, ["jwe[0] a", "jwe[1] b"]],
    ["a line break alone", `\n,${b}`, ["jwe[0] ANNOTATION_BASE64", "jwe[1] b"]],
  ])("reads a list: %s", (_, list, expected) => {
    expect(read({ [JWE]: list })).toEqual(expected);
  });

  it("reads all schemes in their order, or the requested schemes in the requested order", () => {
    const annotations = { [`${ENC}keys.pgp`]: a, other: a, [JWE]: b, [`${ENC}keys.provider.x`]: a };
    expect(read(annotations)).toEqual(["pgp[0] a", "jwe[0] b", "provider.x[0] a"]);
    expect(read(annotations, ["jwe", "pgp"])).toEqual(["jwe[0] b", "pgp[0] a"]);
    expect(read(annotations, ["pkcs7"])).toEqual([]);
    expect(readWrappedKeys({ mediaType: TAR }, ["jwe"])).toEqual([]);
  });

  it("rejects a list over the limit without reading its parts", () => {
    expect(read({ [JWE]: "A".repeat(MIB) })).toHaveLength(1);
    expect(read({ [JWE]: `${"A".repeat(MIB)}AAAA` })).toEqual(["jwe[0] ANNOTATION_TOO_LARGE"]);
    expect(read({ [JWE]: Array(1024).fill(a).join(",") })).toHaveLength(1024);
    expect(read({ [JWE]: Array(1025).fill(a).join(",") })).toEqual(["jwe[0] ANNOTATION_TOO_LARGE"]);
    expect(read({ [JWE]: ",".repeat(MIB) })).toEqual(["jwe[0] ANNOTATION_TOO_LARGE"]);
  });

  it("reads the other schemes if one list is over the limit", () => {
    expect(read({ [JWE]: ",".repeat(2000), [`${ENC}keys.pgp`]: a })).toEqual([
      "jwe[0] ANNOTATION_TOO_LARGE",
      "pgp[0] a",
    ]);
  });

  it("never throws, and counts all elements", () => {
    const element = fc.oneof(
      fc.constantFrom("", a, "A", " "),
      fc.string().filter((s) => !s.includes(",")),
    );
    fc.assert(
      fc.property(fc.array(element, { minLength: 1, maxLength: 20 }), (elements) => {
        const found = readWrappedKeys({
          mediaType: TAR,
          annotations: { [JWE]: elements.join(",") },
        });
        expect(found.map(({ index }) => index)).toEqual(elements.map((_, i) => i));
      }),
      { numRuns: 100 },
    );
  });
});

describe("appendWrappedKeys", () => {
  const wrapped = (scheme: string, text: string): { scheme: string; bytes: Uint8Array } => ({
    scheme,
    bytes: Buffer.from(text),
  });

  it("appends keys, and changes nothing else", () => {
    const before = deepFreeze({ a: "b", [JWE]: "YQ==,!", [`${ENC}keys.provider.x`]: "not base64" });
    const after = appendWrappedKeys(before, [
      wrapped("jwe", "b"),
      wrapped("pgp", "c"),
      wrapped("jwe", "d"),
    ]);
    expect(after).toEqual({
      a: "b",
      [JWE]: "YQ==,!,Yg==,ZA==",
      [`${ENC}keys.provider.x`]: "not base64",
      [`${ENC}keys.pgp`]: "Yw==",
    });
    expect(Object.keys(after)).toEqual([...Object.keys(before), `${ENC}keys.pgp`]);
  });

  it("writes no empty element if the list was empty", () => {
    expect(appendWrappedKeys({ [JWE]: "" }, [wrapped("jwe", "a")])).toEqual({ [JWE]: "YQ==" });
  });

  it("keeps an annotation named __proto__", () => {
    const before = JSON.parse('{"__proto__":"x"}') as Record<string, string>;
    const after = appendWrappedKeys(before, [wrapped("jwe", "a")]);
    expect(Object.entries(after)).toEqual([
      ["__proto__", "x"],
      [JWE, "YQ=="],
    ]);
    expect(Object.getPrototypeOf(after)).toBe(Object.prototype);
  });

  it("refuses to write a list that is too long to read", async () => {
    const half = { scheme: "jwe", bytes: Buffer.alloc((MIB * 3) / 8) };
    expect(appendWrappedKeys({}, [half])[JWE]).toHaveLength(MIB / 2);
    await expectCode(() => appendWrappedKeys({}, [half, half]), "ANNOTATION_TOO_LARGE");
    await expectCode(
      () => appendWrappedKeys({ [JWE]: "A".repeat(MIB - 4) }, [wrapped("jwe", "a")]),
      "ANNOTATION_TOO_LARGE",
    );
  });

  it("refuses to write a list of more keys than it reads", async () => {
    const many = Array.from({ length: 1025 }, () => wrapped("jwe", "a"));
    expect(read(appendWrappedKeys({}, many.slice(1)))).toHaveLength(1024);
    await expectCode(() => appendWrappedKeys({}, many), "ANNOTATION_TOO_LARGE");
  });

  it("counts the existing keys", async () => {
    const before = { [JWE]: Array(1023).fill("YQ==").join(",") };
    const one = wrapped("jwe", "a");
    expect(read(appendWrappedKeys(before, [one]))).toHaveLength(1024);
    await expectCode(() => appendWrappedKeys(before, [one, one]), "ANNOTATION_TOO_LARGE");
  });

  it("is fast for many keys", () => {
    const many = Array.from({ length: 1000 }, () => ({ scheme: "jwe", bytes: Buffer.alloc(700) }));
    // The processor's time: others may be using the machine.
    const start = process.cpuUsage();
    for (let i = 0; i < 100; i++) appendWrappedKeys({}, many);
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(2000);
  });

  it("adds nothing to a list that is full", async () => {
    const before = { [JWE]: Array(1024).fill("YQ==").join(",") };
    await expectCode(
      () => appendWrappedKeys(before, [wrapped("jwe", "a")]),
      "ANNOTATION_TOO_LARGE",
    );
  });
});

it("reports a list that is not text", () => {
  const annotations = { [JWE]: 1 as unknown as string };
  expect(readWrappedKeys({ mediaType: TAR, annotations })).toMatchObject([
    { scheme: "jwe", error: { code: "DESCRIPTOR_INVALID" } },
  ]);
});
