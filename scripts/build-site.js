// Builds the documentation into site/: the interface of every subpath, and the guides next to it.
// Run it with: npm run docs
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Application } from "typedoc";
import { checkSite } from "../test/support/check-site.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const site = join(root, "site");
const { name, exports, repository } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const source = `${repository.url.replace(/^git\+|\.git$/g, "")}/blob/main/`;

/** The pages, in the order of the navigation, with their titles there. */
const PAGES = {
  "docs/command.md": "The command",
  "docs/library.md": "The library",
  "docs/recipes.md": "Recipes",
  "docs/recipients.md": "Recipients",
  "docs/schemes.md": "Key schemes",
  "docs/key-servers.md": "Key servers",
  "docs/runtimes.md": "Container runtimes",
  "docs/kubernetes.md": "Kubernetes",
  "docs/web.md": "The page",
  "docs/using-in-your-project.md": "Using it in your project",
  "docs/errors.md": "Errors",
  "docs/format.md": "The format",
  "docs/interop.md": "Interoperability",
  "docs/architecture.md": "Architecture",
  "docs/benchmarks.md": "Benchmarks",
  "docs/testing.md": "Testing",
  "SECURITY.md": "Security",
  "CONTRIBUTING.md": "Contributing",
  "CHANGELOG.md": "Changelog",
};

const pages = Object.keys(PAGES).filter((page) => existsSync(join(root, page)));
const unlisted = readdirSync(join(root, "docs")).filter(
  (file) => file.endsWith(".md") && !(`docs/${file}` in PAGES),
);
if (unlisted.length > 0) throw new Error(`not on the site: ${unlisted.join(", ")}`);

const staged = mkdtempSync(join(root, ".site-"));
try {
  for (const page of ["README.md", ...pages]) stage(page);
  const options = {
    name,
    entryPoints: Object.values(exports)
      .filter(({ types }) => types !== undefined)
      .map(({ types }) => join(root, types.replace("./dist", "src").replace(".d.ts", ".ts"))),
    tsconfig: join(root, "tsconfig.json"),
    readme: join(staged, "README.md"),
    projectDocuments: pages.map((page) => join(staged, page)),
    out: site,
    sort: ["documents-first", "kind", "alphabetical"],
    kindSortOrder: [
      "Document",
      "Module",
      "Namespace",
      "Function",
      "Class",
      "Interface",
      "TypeAlias",
    ],
    groupOrder: ["Documents", "Modules", "Namespaces", "Functions", "Classes", "*"],
    sortEntryPoints: false,
    excludeInternal: true,
    excludePrivate: true,
    disableSources: true,
    includeVersion: true,
    navigationLinks: { Source: source.replace("/blob/main/", "") },
    navigation: { includeCategories: false, includeGroups: false, includeFolders: false },
    categorizeByGroup: false,
    validation: { notExported: false, invalidLink: true, invalidPath: true, rewrittenLink: true },
    treatWarningsAsErrors: true,
    logLevel: "Warn",
  };
  const app = await Application.bootstrap(options);
  const project = await app.convert();
  if (project === undefined) throw new Error("the interface cannot be read");
  rmSync(site, { recursive: true, force: true });
  await app.generateDocs(project, site);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exitCode = 1;
} finally {
  rmSync(staged, { recursive: true, force: true });
}

const broken = checkSite(site, (url) =>
  url.startsWith(source) ? existsSync(join(root, url.slice(source.length).split("#")[0])) : true,
);
for (const link of broken) console.error(`broken link: ${link}`);
if (broken.length > 0) process.exitCode = 1;

/** Copies a page. Links to files that are not on the site lead to the repository instead. */
function stage(page) {
  const target = join(staged, page);
  const text = readFileSync(join(root, page), "utf8").replace(
    /\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)/g,
    (_, path, anchor = "") => {
      const file = relative(root, join(root, dirname(page), path));
      const onSite = file === "README.md" || pages.includes(file);
      return onSite ? `](${path}${anchor})` : `](${source}${file}${anchor})`;
    },
  );
  mkdirSync(dirname(target), { recursive: true });
  // The site has a heading of its own for the README.
  if (page === "README.md") writeFileSync(target, text.replace(/^# .*\n/, ""));
  else writeFileSync(target, `---\ntitle: ${PAGES[page]}\n---\n\n${text}`);
}
