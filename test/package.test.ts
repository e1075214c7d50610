import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

interface Manifest {
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  exports: Record<string, string | Record<string, string>>;
  bin: Record<string, string>;
}
const manifest = JSON.parse(read("package.json")) as Manifest;

function packedFiles(): string[] {
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const output = execFileSync("npm", args, { cwd: ROOT, encoding: "utf8" });
  const [result] = JSON.parse(output) as [{ files: { path: string }[] }];
  return result.files.map(({ path }) => path);
}

const shipped = packedFiles();
const pages = shipped.filter((file) => file.endsWith(".md"));

function linksOf(page: string): string[] {
  const text = read(page).replace(/^```.*?^```$/gms, "");
  return [...text.matchAll(/\]\(([^)\s#]+)/g)].map(([, target = ""]) => target);
}

it("the package has the pages, the examples and the sources", () => {
  for (const file of ["README.md", "docs/library.md", "examples/quickstart.js", "src/index.ts"]) {
    expect(shipped).toContain(file);
  }
  expect(shipped.filter((file) => /^(test\/|\.|vectors\/(?!.*README))/.test(file))).toEqual([]);
});

it("the examples import only what an installation has", () => {
  const { dependencies, peerDependencies } = manifest;
  const installed = ["ocicrypt", ...Object.keys(dependencies), ...Object.keys(peerDependencies)];
  for (const file of shipped.filter((each) => /^examples\/.*\.js$/.test(each))) {
    const imports = [...read(file).matchAll(/from "([^".][^"]*)"/g)].map(([, name = ""]) => name);
    for (const name of imports.filter((each) => !each.startsWith("node:"))) {
      expect(installed, `${file} imports ${name}`).toContain(/^(?:@[^/]+\/)?[^/]+/.exec(name)?.[0]);
    }
  }
});

it("each file that package.json names is in the package", () => {
  const targets = Object.values(manifest.exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target),
  );
  const named = [...targets, ...Object.values(manifest.bin)].map(normalize);
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((file) => !shipped.includes(file))).toEqual([]);
});

it("the declarations of the entry points import no dependency", () => {
  // Those of OpenPGP.js import a package that its installation does not bring.
  const types = Object.values(manifest.exports).flatMap((target) =>
    typeof target === "string" || target.types === undefined ? [] : [normalize(target.types)],
  );
  const files = new Set(types);
  const packages = new Set<string>();
  for (const file of files) {
    for (const [, name = ""] of read(file).matchAll(/(?:from |import\()"([^"]+)"/g)) {
      if (name.startsWith(".")) files.add(join(dirname(file), name.replace(/\.js$/, ".d.ts")));
      else if (!/^(?:node:|#engine\/)/.test(name)) packages.add(name);
    }
  }
  expect(files.size).toBeGreaterThan(60);
  // The SDK is passed in by its user, who therefore has it.
  expect([...packages]).toEqual(["@aws-sdk/client-kms"]);
});

it.for(pages)("the relative links of %s lead to files of the package", (page) => {
  const relative = linksOf(page).filter((target) => !/^[a-z]+:/.test(target));
  const missing = relative.filter((target) => {
    const path = normalize(join(dirname(page), target)).replace(/\/$/, "");
    return !shipped.some((file) => file === path || file.startsWith(`${path}/`));
  });
  expect(missing).toEqual([]);
});

it("the README names the versions of other runtimes that the tests install", () => {
  type Versions = Record<"bun" | "deno" | "workerd", string>;
  const { dependencies } = JSON.parse(read("test/runtimes/package.json")) as {
    dependencies: Versions;
  };
  const { devDependencies } = JSON.parse(read("package.json")) as { devDependencies: Versions };
  const { bun, deno, workerd } = dependencies;
  expect(devDependencies.bun).toBe(bun);
  const readme = read("README.md").replace(/\s+/g, " ");
  expect(readme).toContain(`Deno ${deno}, Bun ${bun} and workerd ${workerd}`);
});

/** The subpaths that run in browsers. */
const PORTABLE = [".", "./jwe", "./pkcs7", "./pgp", "./keys", "./image", "./files", "./blobs"];

it.for(PORTABLE)("%s is bundled for browsers without modules of Node.js", async (subpath) => {
  const target = manifest.exports[subpath];
  const entry = typeof target === "object" ? target.default : target;
  // An import that cannot be resolved fails.
  const bundle = build({
    entryPoints: [join(ROOT, entry ?? "")],
    ...{ bundle: true, format: "esm", platform: "browser", write: false },
    tsconfigRaw: "{}",
    logLevel: "silent",
  });
  await expect(bundle).resolves.toMatchObject({ errors: [], warnings: [] });
});

describe("in browsers, ocicrypt and ocicrypt/jwe load, with gzip,", async () => {
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: `export * from "./dist/index.js"; export * from "./dist/keywrap/jwe/index.js";`,
      resolveDir: ROOT,
    },
    ...{ bundle: true, splitting: true, minify: true, format: "esm", platform: "browser" },
    ...{ outdir: "out", write: false, metafile: true },
    tsconfigRaw: "{}",
  });
  const outputs: Metafile["outputs"] = metafile.outputs;

  /** The size of all files that some modules need before they run, in KiB. */
  function sizeOf(...modules: string[]): number {
    const found = new Set<string>();
    const visit = (name: string): void => {
      if (found.has(name)) return;
      found.add(name);
      const { imports = [] } = outputs[name] ?? {};
      for (const { path, kind } of imports) if (kind === "import-statement") visit(path);
    };
    for (const module of modules) {
      const output = Object.keys(outputs).find((name) => outputs[name]?.entryPoint === module);
      expect(output, module).toBeDefined();
      visit(output ?? "");
    }
    const files = outputFiles.filter(({ path }) =>
      [...found].some((name) => path.endsWith(`/${name}`)),
    );
    expect(files).toHaveLength(found.size);
    const sizes = files.map(({ contents }) => gzipSync(contents, { level: 9 }).byteLength);
    return sizes.reduce((sum, size) => sum + size, 0) / 1024;
  }

  const JOSE = "node_modules/jose/dist/webapi/jwe/flattened";

  it("at most 30 KiB", () => {
    expect(sizeOf("<stdin>")).toBeLessThanOrEqual(30);
  });

  it("at most 40 KiB in all to encrypt a layer for a JWE recipient, or to decrypt it", () => {
    expect(sizeOf("<stdin>", `${JOSE}/decrypt.js`)).toBeLessThanOrEqual(40);
    expect(sizeOf("<stdin>", `${JOSE}/encrypt.js`)).toBeLessThanOrEqual(40);
  });
});
