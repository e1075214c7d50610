import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ANY,
  asObject,
  foldName,
  isTexts,
  MAP,
  mapOf,
  MAX_JSON_DEPTH,
  MAX_JSON_MEMBERS,
  MAX_JSON_VALUES,
  parseJson,
  parseWithPlaces,
  requireObject,
  stringIn,
  struct,
  type JsonNode,
  type Shape,
} from "../../src/text/json.js";

const refuse = (why: string): Error => new Error(why);
const read = (text: string | Uint8Array, shape?: Shape): unknown =>
  parseJson(text, { refuse, maxSize: 8 * 1024 * 1024, ...(shape && { shape }) });

describe("parseJson", () => {
  it("reads what JSON.parse reads, or rejects it", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        let value: unknown;
        try {
          value = read(text, MAP);
        } catch (error) {
          expect((error as Error).message).toMatch(/surrogate/);
          return;
        }
        expect(value).toEqual(JSON.parse(text));
      }),
    );
  });

  it("rejects what JSON.parse rejects", () => {
    const character = fc.constantFrom(
      ...Array.from('{}[]:,"\\ \n\t0123-+.eEaftnulsrbdx/\u0001\u00a0é'),
    );
    fc.assert(
      fc.property(fc.array(character, { maxLength: 12 }), (characters) => {
        const text = characters.join("");
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        if (isJson) expect(read(text, MAP)).toEqual(JSON.parse(text));
        else expect(() => read(text, MAP)).toThrow();
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ["an empty document", "", "not JSON"],
    ["two documents", "{}{}", "not JSON"],
    ["a comma too many", "[1,]", "not JSON"],
    ["a member without a name", "{1:2}", "not JSON"],
    ["a string without its end", '"a\\"', "not JSON"],
    ["a control character", '"\u0001"', "not JSON"],
    ["a leading zero", "01", "not JSON"],
    ["a byte order mark", "\uFEFF{}", "byte order mark"],
    ["half of a surrogate pair", '"\\ud800"', "surrogate"],
    ["the other half in a name", '{"\\udc00":1}', "surrogate"],
    ["a raw half", '"\ud800"', "surrogate"],
    ["a name twice", '{"a":1,"a":1}', 'names "a" twice'],
    ["a name twice, once with escapes", '{"ab":1,"\\u0061b":1}', 'names "ab" twice'],
    ["names that differ in case", '{"x":{"ab":1,"aB":1}}', "the same to some readers"],
    ["a long s", '{"layers":1,"layer\u017f":1}', "the same to some readers"],
    ["a kelvin sign", '{"key":1,"\u212aey":1}', "the same to some readers"],
    ["letters outside ASCII", '{"\u00b5":1,"\u03bc":1}', "the same to some readers"],
  ])("rejects %s", (_, text, why) => {
    expect(() => read(text)).toThrow(why);
  });

  it("rejects bytes that are not UTF-8", () => {
    for (const wrong of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
      expect(() => read(Uint8Array.from([0x22, ...wrong, 0x22]))).toThrow("not UTF-8");
    }
    expect(read(Buffer.from('"é😀"'))).toBe("é😀");
  });

  it("limits size, nesting and the number of values", () => {
    const options = { refuse, maxSize: 4 };
    expect(parseJson("1234", options)).toBe(1234);
    expect(() => parseJson("12345", options)).toThrow("larger than 4 bytes");
    const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
    expect(read(nested(MAX_JSON_DEPTH + 1))).toBeInstanceOf(Array);
    for (const depth of [MAX_JSON_DEPTH + 2, 1_000_000]) {
      expect(() => read(nested(depth))).toThrow("nested too deeply");
    }
    expect(() => read(`[${"0,".repeat(MAX_JSON_VALUES)}0]`)).toThrow("too many values");
    const members = (count: number): string =>
      `{${Array.from({ length: count }, (_, i) => `"a${String(i)}":0`).join(",")}}`;
    expect(read(members(MAX_JSON_MEMBERS))).toHaveProperty(`a${String(MAX_JSON_MEMBERS - 1)}`, 0);
    expect(() => read(members(MAX_JSON_MEMBERS + 1))).toThrow("too many values");
  });

  it.each([1, 7, 8, 9, 10, 100])("finds a repeated name after %i others", (count) => {
    const names = Array.from({ length: count }, (_, i) => `"a${String(i)}":0,`).join("");
    expect(() => read(`{"ab":1,${names}"aB":1}`)).toThrow("the same to some readers");
    expect(() => read(`{${names}"ab":1,"aB":1}`)).toThrow("the same to some readers");
    expect(read(`{"ab":1,${names}"cd":1}`)).toHaveProperty("cd", 1);
  });

  it("treats only fields that are null as absent", () => {
    const shape = struct({ a: ANY, map: MAP });
    expect(read('{"a":null,"b":null,"map":{"c":null},"list":[null]}', shape)).toEqual({
      map: { c: null },
      list: [null],
    });
    expect(read("null")).toBeNull();
  });

  it("recognises fields by their exact names, at every level", () => {
    const inner = struct({ symkey: ANY });
    const shape = struct({ size: ANY, inner, items: inner, map: mapOf(inner), free: MAP });
    const right = '{"size":1,"other":{"Size":2},"free":{"Size":3,"SIZE":{"Size":4,"sIZE":5}}}';
    expect(read(right, shape)).toEqual(JSON.parse(right));
    for (const wrong of [
      '{"Size":1}',
      '{"\u017fize":1}',
      '{"inner":{"sym\u212aey":1}}',
      '{"items":[{},{"SymKey":1}]}',
      '{"map":{"x":{"\u017fymkey":1}}}',
    ]) {
      expect(() => read(wrong, shape)).toThrow("to some readers");
    }
  });

  it("gives fields their own names if any case is accepted", () => {
    const shape = struct({ symkey: ANY, nested: MAP }, true);
    expect(read('{"SYM\u212aEY":1,"Nested":{"a":1,"A":2}}', shape)).toEqual({
      symkey: 1,
      nested: { a: 1, A: 2 },
    });
    expect(() => read('{"symkey":1,"SymKey":1}', shape)).toThrow("the same to some readers");
  });

  it("makes own members of names such as __proto__", () => {
    const value = read('{"__proto__":{"a":1},"constructor":2}') as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value)).toEqual(["__proto__", "constructor"]);
    expect(value).not.toHaveProperty("a");
  });
});

describe("parseWithPlaces", () => {
  it("returns the position of each value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (any, indent) => {
        const text = JSON.stringify(any, null, indent);
        const options = { refuse, maxSize: text.length * 3, shape: MAP };
        const { root, value } = parseWithPlaces(text, options);
        const check = (node: JsonNode, expected: unknown): void => {
          expect(JSON.parse(text.slice(node.start, node.end))).toEqual(expected);
          node.items?.forEach((item, i) => {
            check(item, (expected as unknown[])[i]);
          });
          node.members?.forEach((member) => {
            expect(text[member.start]).toBe('"');
            check(member.value, new Map(Object.entries(expected as object)).get(member.name));
          });
        };
        check(root, value);
      }),
      { numRuns: 200 },
    );
  });
});

describe("foldName", () => {
  it("is equal for all letters that match without regard to case", () => {
    for (let point = 0; point <= 0x2ffff; point++) {
      if (point >= 0xd800 && point <= 0xdfff) continue;
      const letter = String.fromCodePoint(point);
      for (const other of [letter.toLowerCase(), letter.toUpperCase()]) {
        if (foldName(other) !== foldName(letter)) expect.fail(`U+${point.toString(16)}`);
      }
    }
    expect(foldName("\u017fy\u212a")).toBe(foldName("sYk"));
    expect(foldName("os.version")).not.toBe(foldName("os_version"));
  });
});

describe("guards", () => {
  it("distinguish objects from everything else", () => {
    const object = { a: "b", c: 1 };
    expect(asObject(object)).toBe(object);
    expect(requireObject(object, () => new Error("x"))).toBe(object);
    for (const other of [null, undefined, [], "a", 1]) {
      expect(asObject(other)).toBeUndefined();
      expect(() => requireObject(other, () => new Error("x"))).toThrow("x");
      expect(stringIn(other, "length")).toBeUndefined();
    }
    expect(stringIn(object, "a")).toBe("b");
    expect(stringIn(object, "c")).toBeUndefined();
    expect(stringIn(object, "toString")).toBeUndefined();
  });

  it("distinguish lists of texts from everything else", () => {
    expect(isTexts([])).toBe(true);
    expect(isTexts(["a", ""])).toBe(true);
    for (const other of [["a", 1], [null], "a", { 0: "a", length: 1 }, null, undefined]) {
      expect(isTexts(other)).toBe(false);
    }
  });
});
