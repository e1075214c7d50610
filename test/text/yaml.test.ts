import { describe, expect, it } from "vitest";
import { MAX_YAML_TOKENS, parseYaml } from "../../src/text/yaml.js";

/** Makes a text of about a mebibyte, the largest key file. */
function filled(start: string, line: (i: number) => string): string {
  const lines = [start];
  for (let i = 0, size = 0; size < 1_000_000; i++) {
    lines.push(line(i));
    size += line(i).length;
  }
  return lines.join("");
}

describe("parseYaml", () => {
  it.each([
    { of: "a block", text: "a:\n  b: 1\n  c: [2, x]\n" },
    { of: "JSON", text: '{"a": {"b": 1, "c": [2, "x"]}}' },
  ])("reads $of", async ({ text }) => {
    expect(await parseYaml(text)).toEqual({ a: { b: 1, c: [2, "x"] } });
  });

  it("reads a long text that is one value", async () => {
    const lines = Array.from({ length: 10_000 }, () => "A".repeat(76));
    const text = `data:\n  key: |\n${lines.map((line) => `    ${line}\n`).join("")}`;
    expect(await parseYaml(text)).toEqual({ data: { key: `${lines.join("\n")}\n` } });
  });

  it.each([
    { of: "names in a block", text: filled("data:\n", (i) => `  k${String(i)}: x\n`) },
    { of: "names in braces", text: `${filled("data: {", (i) => `k${String(i)}: x, `)}}` },
    { of: "nested lists", text: filled("data: ", () => "[") },
    { of: "nested keys", text: filled("data:\n", () => "? ") },
    { of: "lines that are wrong", text: filled("kind: Secret\n", () => "- a\n") },
    { of: "wrong escapes", text: `${filled('"', () => "#\\")}"` },
  ])("rejects too many $of before it parses them", async ({ text }) => {
    await expect(parseYaml(text)).rejects.toThrow("too many tokens");
  });

  it("accepts a number of names within the limit", async () => {
    const count = MAX_YAML_TOKENS / 10;
    const names = Array.from({ length: count }, (_, i) => `k${String(i)}: x\n`);
    expect(Object.keys((await parseYaml(names.join(""))) as object)).toHaveLength(count);
  });

  it("rejects a name that occurs twice", async () => {
    await expect(parseYaml("a: 1\na: 2\n")).rejects.toThrow();
  });

  it("rejects aliases unless they are allowed", async () => {
    const text = "a: &x [1]\nb: *x\n";
    await expect(parseYaml(text)).rejects.toThrow();
    expect(await parseYaml(text, { maxAliasCount: 10 })).toEqual({ a: [1], b: [1] });
  });
});
