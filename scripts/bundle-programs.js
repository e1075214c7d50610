// Bundles the modules of the programs in dist, where tsc has written them: to load more than a hundred
// files takes as long as to encrypt a small image. Dependencies stay outside, so that users can update
// them, and the library's own modules stay as they are.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const DIST = fileURLToPath(new URL("../dist", import.meta.url));
/** As package.json names them. */
const PROGRAMS = ["cli/main", "runtime/decoder"];
/** Modules that test/fuzz imports. */
const TESTED = ["cli/errors"];
/** Parts that programs share, or load only when they need them. */
const PARTS = "programs";

const bundle = await rolldown({
  input: Object.fromEntries(
    [...PROGRAMS, ...TESTED].map((name) => [name, join(DIST, `${name}.js`)]),
  ),
  platform: "node",
  external: (id) => !/^[./#]/.test(id),
  treeshake: { moduleSideEffects: false },
  // Of what TypeScript writes, and of modules that a part contains already.
  checks: { invalidAnnotation: false, ineffectiveDynamicImport: false },
});
const { output } = await bundle.generate({
  entryFileNames: "[name].js",
  // As deep as the modules were, because some read ../../package.json.
  chunkFileNames: `${PARTS}/[name].js`,
});
// No module of the library imports these.
for (const folder of new Set(PROGRAMS.map(dirname))) {
  rmSync(join(DIST, folder), { recursive: true });
}
for (const { fileName, code } of output) {
  const file = join(DIST, fileName);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, code);
}
// The thread starts from the file beside the module that starts it.
copyFileSync(join(DIST, "threads/hash-thread.js"), join(DIST, PARTS, "hash-thread.js"));
