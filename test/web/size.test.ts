import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildPage } from "../../web/build.js";
import { POLICY } from "../../web/serve.js";

const KIB = 1024;
const directory = mkdtempSync(join(tmpdir(), "ocicrypt-page-"));
let outputs: Awaited<ReturnType<typeof buildPage>>["metafile"]["outputs"];

beforeAll(async () => {
  outputs = (await buildPage(directory)).metafile.outputs;
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** The size of files with gzip, in KiB. */
function zipped(files: Iterable<string>): number {
  const sizes = [...files].map((file) => gzipSync(readFileSync(join(directory, file))).byteLength);
  return sizes.reduce((sum, size) => sum + size, 0) / KIB;
}

/** The files that a program needs before it looks at anything. */
function needed(program: string): Set<string> {
  const found = new Set<string>();
  const names = Object.keys(outputs);
  const visit = (name: string): void => {
    const file = name.slice(name.lastIndexOf("/") + 1);
    if (found.has(file)) return;
    found.add(file);
    const { imports = [] } = outputs[name] ?? {};
    for (const { path, kind } of imports) if (kind === "import-statement") visit(path);
  };
  visit(names.find((name) => name.endsWith(`/${program}`)) ?? "");
  return found;
}

describe("with gzip, the page needs", () => {
  it("at most 400 KiB in all", () => {
    // Browsers do not load the licenses.
    const files = readdirSync(directory).filter((file) => !file.endsWith(".txt"));
    expect(zipped(files)).toBeLessThanOrEqual(400);
  });

  it("at most 120 KiB to look at an image with JWE", () => {
    const first = new Set([...needed("page.js"), ...needed("worker.js")]);
    expect(zipped([...first, "index.html", "style.css", "icon.svg"])).toBeLessThanOrEqual(120);
  });

  it("nothing of OpenPGP and PKCS#7 before they are used", () => {
    const first = [...needed("page.js"), ...needed("worker.js")];
    const inputs = Object.entries(outputs)
      .filter(([name]) => first.some((file) => name.endsWith(`/${file}`)))
      .flatMap(([, { inputs: modules }]) => Object.keys(modules));
    expect(inputs.length).toBeGreaterThan(50);
    expect(inputs.filter((module) => /\/(?:openpgp|pkijs|asn1js)\//.test(module))).toEqual([]);
  });
});

it("the page states the policy that its server sends", () => {
  const html = readFileSync(join(directory, "index.html"), "utf8");
  const [, stated = ""] =
    /http-equiv="Content-Security-Policy"\s+content="([^"]*)"/.exec(html) ?? [];
  // A document cannot state this one itself.
  expect(`${stated}; frame-ancestors 'none'`).toBe(POLICY);
});

it("the page names nothing of another host", () => {
  for (const file of ["index.html", "style.css"]) {
    expect(readFileSync(join(directory, file), "utf8")).not.toMatch(/(?:https?:)?\/\/[a-z]/);
  }
});
