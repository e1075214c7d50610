import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { ProviderConfig, ProviderEntry } from "../../../src/keywrap/provider/config.js";

/** A folder that is gone after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "provider-"));
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

/** Writes a command for this runtime. */
export function writeScript(folder: string, name: string, body: string): string {
  const path = join(folder, `${name}.cjs`);
  writeFileSync(path, `#!${process.execPath}\n"use strict";\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A configuration with one provider. */
export function configure(name: string, entry: ProviderEntry): ProviderConfig {
  return { "key-providers": { [name]: entry } };
}
