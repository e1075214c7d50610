import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { fileOf, reportInterface } from "./report.js";

const TIMEOUT = 120_000;

it("the reports of the public interface are up to date", { timeout: TIMEOUT }, () => {
  const reports = reportInterface({ write: false });
  const stale = [...reports].filter(([, { isStale }]) => isStale).map(([subpath]) => subpath);
  expect(stale, "run npm run api, and review how the interface changes").toEqual([]);
  expect(reports.get("./jwe")?.report).toContain(
    "function recipient(input: KeyInput, options?: JweRecipientOptions): Recipient;",
  );

  const files = readdirSync(fileURLToPath(new URL("./", import.meta.url)));
  const expected = [...reports.keys()].map(fileOf).sort();
  expect(files.filter((file) => file.endsWith(".api.md")).sort()).toEqual(expected);
});
