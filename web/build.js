// Builds the page into a directory: HTML, style sheet, icon, and two programs: for the document and
// for its worker. Modules that only some keys need are files of their own.
//
//     node web/build.js [DIRECTORY]      (default: web/dist)
import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL("./", import.meta.url));

/** The files that are served as they are. */
const STATIC = ["index.html", "style.css", "icon.svg"];

export async function buildPage(directory = join(here, "dist")) {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const { metafile } = await build({
    entryPoints: { page: join(here, "page/page.ts"), worker: join(here, "worker/worker.ts") },
    outdir: directory,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    target: "es2023",
    minify: true,
    legalComments: "linked",
    charset: "utf8",
    // From the sources, where the imports of package.json do not point; nor do the paths of tsconfig.json.
    alias: { "#engine": join(here, "../src/engine/web") },
    tsconfigRaw: {},
    // For Kubernetes Secrets, which the page rejects before anything looks for it.
    external: ["yaml"],
    metafile: true,
    logLevel: "warning",
  });
  for (const file of STATIC) await copyFile(join(here, file), join(directory, file));
  return { directory, metafile };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage(process.argv[2]);
