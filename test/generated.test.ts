import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../src/cli/command-table.js";
import { OPTION_NAMES } from "../src/cli/options.js";
import { unavailable } from "./support/environment.js";
import { commandPage, errorsPage, manPage } from "./support/pages.js";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const { version } = JSON.parse(read("package.json")) as { version: string };

// `npm run generate` writes these files anew.
describe("a generated page is up to date:", () => {
  it("docs/command.md", async () => {
    const page = await commandPage(read("docs/command.md"));
    await expect(page).toMatchFileSnapshot(join(ROOT, "docs/command.md"));
  });

  it("docs/errors.md", async () => {
    await expect(await errorsPage()).toMatchFileSnapshot(join(ROOT, "docs/errors.md"));
  });

  it("man/ocicrypt.1", async () => {
    await expect(manPage(version)).toMatchFileSnapshot(join(ROOT, "man/ocicrypt.1"));
  });

  it("src/runtime/version.ts", async () => {
    const text = read("src/runtime/version.ts").replace(/".*"/, JSON.stringify(version));
    await expect(text).toMatchFileSnapshot(join(ROOT, "src/runtime/version.ts"));
  });
});

describe("the manual page", () => {
  const page = manPage(version);

  it("has every command and option", () => {
    const text = page.replaceAll("\\-", "-");
    expect(COMMANDS.filter((name) => !text.includes(`.SS ${name}`))).toEqual([]);
    expect(OPTION_NAMES.filter((name) => !text.includes(`--${name}`))).toEqual([]);
  });

  it("is rendered without a warning", ({ skip }) => {
    try {
      execFileSync("man", ["--version"], { stdio: "ignore" });
    } catch {
      unavailable(skip, "man is not installed");
    }
    const man = ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", join(ROOT, "man/ocicrypt.1")];
    expect(execFileSync("sh", ["-c", 'man "$@" 2>&1 >/dev/null', "man", ...man]).toString()).toBe(
      "",
    );
  });
});
