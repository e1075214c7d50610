// Installs the packed library as its users do and tries it in small projects.
// Usage: node test/consumers/run.js [NODE...], with further Node.js binaries to try it on.
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import pLimit from "p-limit";

/** The optional peer packages, which a bundle leaves out. */
const OPTIONAL = ["@aws-sdk/client-kms", "@grpc/grpc-js", "pkcs11js"];
const HERE = fileURLToPath(new URL("./", import.meta.url));
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NPM = ["--silent", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"];
const WITH_DOM = "es2023,dom,dom.iterable,dom.asynciterable";

const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), "ocicrypt-consumers-"));
try {
  const nodes = [process.execPath, ...process.argv.slice(2).map((path) => resolve(path))];
  const tarball = await prepare();
  const checks = [
    ...nodes.flatMap((node, index) => onNode(node, tarball, index)),
    ...bundles(),
    ...typechecks(),
  ];
  process.exitCode = (await runAll(checks)) === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** One installation for all projects, in the directory above them, and a key pair in each. */
async function prepare() {
  const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", directory];
  const { stdout } = await run("npm", pack, { cwd: ROOT });
  const tarball = join(directory, JSON.parse(stdout)[0].filename);
  cpSync(HERE, directory, { recursive: true });
  await run("npm", ["install", ...NPM, tarball], { cwd: directory });
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  for (const project of ["esm", "commonjs", "jest", "bundle"]) {
    writeFileSync(join(directory, project, "public.pem"), publicKey);
    writeFileSync(join(directory, project, "private.pem"), privateKey);
  }
  // The installation goes away with the directory; downloads are reused from npm's cache.
  const { stdout: cache } = await run("npm", ["config", "get", "cache"]);
  mkdirSync(join(directory, "npm"));
  symlinkSync(join(cache.trim(), "_cacache"), join(directory, "npm", "_cacache"));
  return tarball;
}

/** The projects that run on each Node.js. `npm` and `npx` run on the one that is first in PATH. */
function onNode(node, tarball, index) {
  const PATH = [dirname(node), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH, npm_config_cache: join(directory, "npm") };
  // npx keeps one installation for each path.
  const copy = join(directory, `node-${String(index)}.tgz`);
  copyFileSync(tarball, copy);
  const command = `npx --yes --prefer-offline --package=${copy} ocicrypt`;
  const [plain, encrypted, again] = ["plain", "encrypted", "again"].map(
    (name) => `oci:${name}-${String(index)}:latest`,
  );
  const npx = [
    `node ../node_modules/ocicrypt/examples/make-image.js plain-${String(index)}`,
    `${command} encrypt ${plain} ${encrypted} -r jwe:public.pem`,
    `${command} decrypt ${encrypted} ${again} -k private.pem`,
  ];
  return [
    { name: "ES module", project: "esm", shell: "node round-trip.js" },
    { name: "CommonJS", project: "commonjs", shell: "node round-trip.cjs" },
    { name: "Jest", project: "jest", shell: "npm test" },
    { name: "npx of the tarball", project: "esm", shell: npx.join(" && ") },
  ].map((check) => ({ ...check, name: `${check.name} on ${node}`, env }));
}

/** All subpaths in one file, as an ES module and as CommonJS. */
function bundles() {
  return ["esm", "cjs"].map((format) => {
    const output = `every-subpath.${format === "esm" ? "mjs" : "cjs"}`;
    const flags = `--bundle --platform=node --format=${format} --outfile=${output}`;
    const optional = OPTIONAL.map((name) => `--external:${name}`).join(" ");
    const build = `npx esbuild every-subpath.js ${flags} ${optional} --log-level=error`;
    return { name: `esbuild to ${format}`, project: "bundle", shell: `${build} && node ${output}` };
  });
}

function typechecks() {
  const { dependencies } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
  const versions = Object.keys(dependencies).filter((name) => name.startsWith("typescript-"));
  const newest = versions.at(-1);
  return [
    ...versions.map((version) => typecheck(version)),
    // Before 5.6 the web streams of the DOM library are not iterable.
    ...["typescript-5.6", newest].map((version) => typecheck(version, `--lib ${WITH_DOM}`)),
    typecheck(newest, "--exactOptionalPropertyTypes"),
    typecheck(newest, "--module esnext --moduleResolution bundler"),
    ...["typescript-5.9", newest].map((version) => typecheck(version, "", "typescript-commonjs")),
  ];
}

/** All declarations are checked, those of the library and of its dependencies too. */
function typecheck(version, flags = "", project = "typescript") {
  const compiler = `node ../node_modules/${version}/bin/tsc`;
  const shell = `${compiler} -p . --noEmit --skipLibCheck false ${flags}`;
  return { name: `${version}, ${project} ${flags}`.trim(), project, shell };
}

/** @returns {Promise<number>} how many failed */
async function runAll(checks) {
  const limit = pLimit(availableParallelism());
  const results = await Promise.all(
    checks.map(({ name, project, shell, env }) =>
      limit(async () => {
        const start = Date.now();
        let problem = "";
        try {
          await run("sh", ["-c", shell], {
            cwd: join(directory, project),
            env: env ?? process.env,
          });
        } catch (error) {
          problem = `${error.stdout ?? ""}${error.stderr ?? ""}` || String(error);
        }
        const seconds = ((Date.now() - start) / 1000).toFixed(1);
        console.log(`${problem === "" ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
        if (problem !== "") console.log(problem);
        return problem;
      }),
    ),
  );
  return results.filter((problem) => problem !== "").length;
}
