import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
  .map((file) => join("src", file))
  .sort();

/** The modules of `src` that each one imports, types and lazy imports included. */
const imports = new Map(
  files.map((file) => {
    const { importedFiles } = ts.preProcessFile(read(file), true, true);
    const targets = importedFiles.flatMap(({ fileName }) => targetsOf(file, fileName));
    return [file, [...new Set(targets)].sort()];
  }),
);

/** The files of `src` that a module names: for the engine, one of each kind. */
function targetsOf(file: string, name: string): string[] {
  const [, engine] = /^#engine\/(.*)$/.exec(name) ?? [];
  if (engine !== undefined) return [`src/engine/node/${engine}.ts`, `src/engine/web/${engine}.ts`];
  if (!name.startsWith(".")) return [];
  return [normalize(join(dirname(file), name)).replace(/\.js$/, ".ts")];
}

interface Row {
  /** A folder or file. */
  place: string;
  imports: string[];
}

/** The table of docs/architecture.md: the place, what it holds, what it imports. */
const rows = [...read("docs/architecture.md").matchAll(/^\| `(src[^`]*)` .*\|([^|]*)\|$/gm)].map(
  ([, place = "", imported = ""]): Row => ({
    place,
    imports: [...imported.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => `src/${name}`),
  }),
);

/** The most specific row that a file belongs to. */
function placeOf(file: string): string {
  const places = rows.map(({ place }) => place);
  const fitting = places.filter((place) => file === place || file.startsWith(`${place}/`));
  return fitting.sort((a, b) => b.length - a.length)[0] ?? `${file} is in no row`;
}

function placesImportedBy(place: string): string[] {
  const modules = files.filter((file) => placeOf(file) === place);
  const targets = modules.flatMap((file) => imports.get(file) ?? []).map(placeOf);
  return [...new Set(targets)].filter((target) => target !== place).sort();
}

describe("the table of docs/architecture.md", () => {
  it("has a place for each file", () => {
    expect(rows.length).toBeGreaterThan(15);
    expect(files.map(placeOf).filter((place) => place.endsWith("no row"))).toEqual([]);
  });

  it.for(rows)("lists the imports of $place", ({ place, imports: stated }) => {
    expect([...stated].sort()).toEqual(placesImportedBy(place));
  });

  it("lists each place below those that it imports", () => {
    const order = rows.map(({ place }) => place);
    const upward = rows.flatMap(({ place, imports: stated }) =>
      stated
        .filter((target) => order.indexOf(target) >= order.indexOf(place))
        .map((target) => `${place} imports ${target}`),
    );
    expect(upward).toEqual([]);
  });
});

it("no module imports itself through others, not even by types", () => {
  const circles: string[] = [];
  const done = new Set<string>();
  function visit(file: string, path: readonly string[]): void {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
    if (path.includes(file) || done.has(file)) return;
    for (const target of imports.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  }
  for (const file of files) visit(file, []);
  expect(circles).toEqual([]);
});

it("every import resolves to a module", () => {
  const targets = [...imports.values()].flat();
  expect(targets.length).toBeGreaterThan(300);
  expect(targets.filter((target) => !imports.has(target))).toEqual([]);
});

describe("size", () => {
  // Raise one for a feature, not for a module that holds one function.
  const ceilings = {
    "src/keyserver/": 46,
    "src/runtime/": 25,
    "src/engine/": 50,
    "src/files/": 15,
    "src/": 214,
  };

  it.for(Object.entries(ceilings))("of %s is at most %i files", ([folder, ceiling]) => {
    const apart = Object.keys(ceilings).filter(
      (each) => each !== folder && each.startsWith(folder),
    );
    const own = files.filter(
      (file) => file.startsWith(folder) && !apart.some((each) => file.startsWith(each)),
    );
    expect(own.length).toBeLessThanOrEqual(ceiling);
  });

  it.for(files)("of %s is at most 300 lines", (file) => {
    expect(read(file).split("\n").length - 1).toBeLessThanOrEqual(300);
  });
});

describe("the guarantees of SECURITY.md", () => {
  const [, text = ""] = /^## Guarantees\n(.*?)^## /ms.exec(read("SECURITY.md")) ?? [];
  const guarantees = text.split(/^(?=\d+\. |- \*\*)/m).filter((each) => /^(?:\d|-)/.test(each));

  it.for(guarantees)("name the tests that show them: %s", (guarantee) => {
    const [, list = ""] = /\(tests:\s([^)]*)\)/.exec(guarantee) ?? [];
    const named = [...list.matchAll(/`(test\/[^`]+)`/g)].map(([, file = ""]) => file);
    expect(named).not.toEqual([]);
    expect(named.filter((file) => !existsSync(new URL(`../${file}`, import.meta.url)))).toEqual([]);
  });

  it("are all found", () => {
    expect(guarantees.length).toBeGreaterThanOrEqual(13);
  });
});
