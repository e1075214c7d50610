import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Files and folders whose text is checked. */
const COVERED = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "docs",
  "examples",
  "scripts",
  "src",
  "test",
  "web",
  "vectors/README.md",
  "vectors/peers/README.md",
];

/** Files that are not checked: the list of markers itself, reports and data made by programs. */
const EXCLUDED = /^(?:test\/(?:prose\.test\.ts|api\/.*\.api\.md|.*\.json)|web\/dist\/.*)$/;

/** Files that still have hits. */
const PENDING: readonly string[] = [];

const TEXT_FILE = /\.(?:md|js|ts|json|sh|html)$/;

/** Words that nearly always mark a sentence to rewrite. */
const MARKERS = [
  "can not",
  "shall",
  "(?<!there )is none",
  "tells of",
  "told of",
  "to be had",
  "somebody",
  "stands",
  "in passing",
  "but for",
  "besides",
  "as what",
  "of which",
  "very",
  "heeded",
  "leads on",
  "lets wait",
];

/** Hits that are right as they are: a path and the text around the marker. */
const ALLOWED: readonly { path: string; text: string; reason: string }[] = [];

/** The space between two words, which may be a line break in a comment or quotation. */
const GAP = String.raw`(?:[ \t]+|[ \t]*\n[ \t]*(?:\*|//|#|>)?[ \t]*)`;

const words = MARKERS.map((marker) => marker.replace(/(?<=\w) (?=\w)/g, () => GAP)).join("|");
const MARKED = new RegExp(String.raw`(?<![\w-])(?:${words})(?![\w-])`, "gi");

/** A subject clause, such as "Who has the key can …"; questions and headings are fine. */
const CLAUSE =
  /(?:^[ \t]*(?:\*|\/\/|\/\*\*|-|>|\|)?[ \t]*|[.:;!] |\| |["'`])Wh(?:at|o) [^.?]*[.|"'`]/gm;

const files = COVERED.flatMap((path) => list(path)).filter(
  (path) => !EXCLUDED.test(path) && !PENDING.includes(path),
);

function list(path: string): string[] {
  if (!statSync(join(ROOT, path)).isDirectory()) return [path];
  return readdirSync(join(ROOT, path))
    .map((name) => `${path}/${name}`)
    .flatMap((entry) =>
      statSync(join(ROOT, entry)).isDirectory()
        ? list(entry)
        : TEXT_FILE.test(entry)
          ? [entry]
          : [],
    );
}

/** Each hit of a text, as `LINE: TEXT AROUND IT`. */
function hits(text: string): string[] {
  return [...text.matchAll(MARKED), ...text.matchAll(CLAUSE)].map(({ 0: match, index }) => {
    const line = text.slice(0, index).split("\n").length;
    const around = text.slice(Math.max(0, index - 30), index + match.length + 30);
    return `${String(line)}: ${around.replace(/\s+/g, " ").trim()}`;
  });
}

const isAllowed = (path: string, hit: string): boolean =>
  ALLOWED.some((entry) => entry.path === path && hit.includes(entry.text));

describe("prose", () => {
  it.for(files)("of %s has no marker word", (path) => {
    const found = hits(readFileSync(join(ROOT, path), "utf8"));
    expect(found.filter((hit) => !isAllowed(path, hit))).toEqual([]);
  });

  it("is searched for marker words, also across line breaks", () => {
    expect(hits("The tag can\n * not move.")).toHaveLength(1);
    expect(hits("// Who has the key opens it.")).toHaveLength(1);
    expect(hits("Layers are shallow; nobody outstands.")).toEqual([]);
    expect(hits("## What is protected\n\nWho can read it?")).toEqual([]);
  });

  it("has no unused exception", () => {
    const unused = ALLOWED.filter(
      ({ path, text }) =>
        !hits(readFileSync(join(ROOT, path), "utf8")).some((hit) => hit.includes(text)),
    );
    expect(unused).toEqual([]);
  });
});
