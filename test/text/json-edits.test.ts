import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  applyEdits,
  insertMembers,
  locate,
  member,
  removeMembers,
} from "../../src/text/json-edits.js";
import type { JsonNode } from "../../src/text/json.js";
import { expectCode } from "../support/codes.js";

const slice = (text: string, node: JsonNode | undefined): string | undefined =>
  node && text.slice(node.start, node.end);

/** JSON of a value with white space wherever JSON allows it. */
function spaced(value: unknown, space: string): string {
  const s = space;
  if (Array.isArray(value)) {
    return `[${s}${value.map((item) => spaced(item, s)).join(`${s},${s}`)}${s}]`;
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([name, item]) => `${JSON.stringify(name)}${s}:${s}${spaced(item, s)}`,
  );
  return `{${s}${members.join(`${s},${s}`)}${s}}`;
}

const space = fc.constantFrom("", " ", "\n\t", "\r\n  ");
// JSON.parse gives -0 for what JSON.stringify writes as 0.
const json = fc
  .jsonValue({ maxDepth: 4 })
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const object = fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), {
  maxKeys: 6,
});

function expectPlaces(text: string, node: JsonNode, value: unknown): void {
  expect(JSON.parse(text.slice(node.start, node.end))).toEqual(value);
  expect(text.slice(node.start, node.end).trim()).toBe(text.slice(node.start, node.end));
  if (Array.isArray(value)) {
    expect(node.items).toHaveLength(value.length);
    value.forEach((item, i) => {
      expectPlaces(text, node.items![i]!, item);
    });
  } else if (typeof value === "object" && value !== null) {
    expect(node.members!.map(({ name }) => name)).toEqual(Object.keys(value));
    for (const { name, start, value: place } of node.members!) {
      expect(text.startsWith(JSON.stringify(name), start)).toBe(true);
      expectPlaces(text, place, (value as Record<string, unknown>)[name]);
    }
  }
}

describe("locate", () => {
  it("finds every value of any JSON text", () => {
    fc.assert(
      fc.property(json, space, (value, s) => {
        const text = s + spaced(value, s) + s;
        expectPlaces(text, locate(text), value);
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    ['{"a\\"b":1}', 'a"b', "1"],
    ['{"a\\\\":"}"}', "a\\", '"}"'],
    ['{"\\u0061":[",]"]}', "a", '[",]"]'],
    ['{"":null}', "", "null"],
    ['{"__proto__":-1.5e+3}', "__proto__", "-1.5e+3"],
    ['{"a":{"b":{}},"c":[[],[]]}', "c", "[[],[]]"],
  ])("in %s finds %j", (text, name, expected) => {
    expect(slice(text, member(locate(text), name))).toBe(expected);
  });

  it.each([
    ['{"a":1,"a":2}'],
    ['{"a":1,"\\u0061":2}'],
    ['{"x":{"a":1,"b":2,"a":1}}'],
    ['[{"__proto__":1,"__proto__":2}]'],
  ])("rejects the duplicate name in %s", async (text) => {
    JSON.parse(text);
    await expectCode(() => locate(text), "MANIFEST_INVALID");
  });

  it("accepts one name in different objects, and in different case", () => {
    const text = '{"a":{"a":1},"A":[{"a":2},{"a":3}]}';
    expect(slice(text, member(member(locate(text), "a"), "a"))).toBe("1");
  });

  it.each([
    ["[", "]"],
    ['{"a":', "}"],
  ])("rejects deep nesting of %s", async (open, close) => {
    const nested = (depth: number): string =>
      `${open.repeat(depth)}${open === "[" ? "" : "1"}${close.repeat(depth)}`;
    expect(() => locate(nested(30))).not.toThrow();
    await expectCode(() => locate(nested(100)), "MANIFEST_INVALID");
    await expectCode(() => locate(nested(100_000)), "MANIFEST_INVALID");
  });
});

describe("member", () => {
  it("finds nothing in `undefined`, and no inherited member", () => {
    expect(member(undefined, "a")).toBeUndefined();
    expect(member(locate("[1]"), "length")).toBeUndefined();
    expect(member(locate("{}"), "constructor")).toBeUndefined();
  });
});

describe("edits", () => {
  it("are applied in any order, and change nothing else", () => {
    const text = "one two three";
    const edits = [
      { start: 8, end: 13, text: "3" },
      { start: 0, end: 3, text: "1" },
      { start: 4, end: 4, text: "and " },
    ];
    expect(applyEdits(text, edits)).toBe("1 and two 3");
    expect(applyEdits(text, [])).toBe(text);
    expect(edits[0]!.start).toBe(8);
  });

  it("removes members as deleting them does", () => {
    fc.assert(
      fc.property(object, space, fc.func(fc.boolean()), (value, s, isRemoved) => {
        const text = spaced(value, s);
        const result = applyEdits(text, removeMembers(locate(text), isRemoved));
        const kept = Object.entries(value).filter(([name]) => !isRemoved(name));
        const expected: unknown = JSON.parse(JSON.stringify(Object.fromEntries(kept)));
        expect(JSON.parse(result)).toEqual(expected);
        expect(Object.keys(JSON.parse(result) as object)).toEqual(Object.keys(expected as object));
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    ["the only one", '{ "a" : 1 }', ["a"], "{  }"],
    ["the first", '{"a":1, "b":2}', ["a"], '{"b":2}'],
    ["the last", '{"a":1, "b":2}', ["b"], '{"a":1}'],
    ["one between", '{"a":1,\n "b":2,\n "c":3}', ["b"], '{"a":1,\n "c":3}'],
    ["two next to each other", '{"a":1,"b":2,"c":3}', ["b", "c"], '{"a":1}'],
    ["all", '{"a":1,"b":2}', ["a", "b"], "{}"],
    ["none", '{"a":1}', [], '{"a":1}'],
  ])("removes %s with its comma", (_, text, names, expected) => {
    const edits = removeMembers(locate(text), (name) => names.includes(name));
    expect(applyEdits(text, edits)).toBe(expected);
  });

  it("inserts members after the others", () => {
    fc.assert(
      fc.property(object, space, fc.jsonValue({ maxDepth: 1 }), (value, s, added) => {
        const text = spaced(value, s);
        const edits = insertMembers(locate(text), [
          ["new: one", added],
          ['new "two"', [added]],
        ]);
        const all = { ...value, "new: one": added, 'new "two"': [added] };
        expect(JSON.parse(applyEdits(text, edits))).toEqual(JSON.parse(JSON.stringify(all)));
      }),
      { numRuns: 50 },
    );
    expect(insertMembers(locate("{}"), [])).toEqual([]);
  });
});
