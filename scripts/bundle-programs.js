// Bundles the modules of the programs in dist, where tsc has written them: to load more than a hundred
// files takes as long as to encrypt a small image. Dependencies stay outside, so that users can update
// them, and the library's own modules stay as they are.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const DIST = fileURLToPath(new URL("../dist", import.meta.url));
/**
 * The programs that package.json names. A part is one file with the modules that are loaded together:
 * at the start of a program, and then for most images.
 */
const PROGRAMS = [
  {
    entry: "cli/main",
    parts: {
      start: ["cli/main"],
      image: ["cli/commands", "keywrap/jwe/index", "keywrap/key-files/from-text", "io/abort"],
    },
    /** Also imported by test/fuzz. */
    tested: ["cli/errors"],
  },
  { entry: "runtime/decoder", parts: { start: ["runtime/decoder"] }, tested: [] },
];

const outputs = await Promise.all(PROGRAMS.map(bundled));
// No module of the library imports these.
for (const { entry } of PROGRAMS) rmSync(join(DIST, dirname(entry)), { recursive: true });
for (const { fileName, code } of outputs.flat()) {
  const file = join(DIST, fileName);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, code);
}
// The thread starts from the file beside the module that starts it.
for (const { entry } of PROGRAMS) {
  copyFileSync(join(DIST, "threads/hash-thread.js"), join(DIST, dirname(entry), "hash-thread.js"));
}

async function bundled({ entry, parts, tested }) {
  const bundle = await rolldown({
    input: Object.fromEntries([entry, ...tested].map((name) => [name, moduleFile(name)])),
    platform: "node",
    external: (id) => !/^[./#]/.test(id),
    treeshake: { moduleSideEffects: false },
    // Of what TypeScript writes, and of modules that a part contains already.
    checks: { invalidAnnotation: false, ineffectiveDynamicImport: false },
  });
  const { output } = await bundle.generate({
    entryFileNames: "[name].js",
    // As deep as the modules were, because some read ../../package.json.
    chunkFileNames: `${dirname(entry)}/[name].js`,
    codeSplitting: {
      groups: Object.entries(parts).map(([name, modules]) => group(name, modules.map(moduleFile))),
    },
  });
  await bundle.close();
  return output;
}

/**
 * A part of all that some modules import statically, except for what an earlier part has. The modules
 * themselves are not in it: a part must not wait for a program to end.
 */
function group(part, modules) {
  let members;
  const name = (id, context) => {
    members ??= importedBy(modules, context);
    return members.has(id) && !modules.includes(id) ? part : null;
  };
  return { name, debugName: part };
}

function importedBy(modules, context) {
  const found = new Set(modules);
  for (const id of found) {
    for (const imported of context.getModuleInfo(id)?.importedIds ?? []) found.add(imported);
  }
  return found;
}

function moduleFile(name) {
  return join(DIST, `${name}.js`);
}
