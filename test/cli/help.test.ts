import { describe, expect, it } from "vitest";
import { COMMAND_TABLE, COMMANDS } from "../../src/cli/command-table.js";
import { helpText } from "../../src/cli/help.js";

describe("help", () => {
  it.each([undefined, "recipients", ...COMMANDS] as const)(
    "of %s fits into 100 columns",
    (command) => {
      const lines = helpText(command).split("\n");
      expect(lines.filter((line) => line.length > 100)).toEqual([]);
      expect(lines.at(-1)).toBe("");
      expect(lines[0]).toContain(`Usage: ocicrypt ${command ?? "<command>"}`);
    },
  );

  it.each(COMMANDS)("of %s has an example", (command) => {
    const [, examples] = helpText(command).split("Examples\n");
    expect(examples).toContain(`ocicrypt ${command} `);
  });

  it.each(COMMANDS)("of %s describes its options and exit statuses", (command) => {
    const text = helpText(command);
    const { options } = COMMAND_TABLE[command];
    expect(options.filter((name) => !new RegExp(`--${name}\\b`).test(text))).toEqual([]);
    if (options.includes("key")) expect(text).toContain("\nKeys\n");
    expect(text).toMatch(/\n {2}129, 130, 143 +interrupted/);
  });

  it("of recipients lists its four commands", () => {
    const text = helpText("recipients");
    for (const action of ["list", "add", "remove", "replace"]) {
      expect(text).toMatch(new RegExp(`^ {2}recipients ${action} `, "m"));
    }
  });

  it("of recipients remove shows that it needs one of two options", () => {
    expect(helpText("recipients remove")).toContain("--recipient-id <id>... | -k <key>...");
  });
});
