import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { symlinkSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { it } from "vitest";
import { hasProgram, IS_CI, temporaryDirectory } from "./peers.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** No step of a build takes this long, in milliseconds. */
const TIMEOUT = 180_000;

/**
 * Runs the unit tests of the decoder with a single-file build of it, made by the commands of
 * docs/runtimes.md.
 *
 * @param heading of the recipe
 * @param packages that it needs
 */
export async function testSingleFile(heading: string, packages: readonly string[]): Promise<void> {
  const missing = packages.filter((name) => !hasProgram(join(ROOT, "node_modules/.bin", name), "--help")); // prettier-ignore
  if (missing.length > 0) {
    if (IS_CI) throw new Error(`${missing.join(" and ")} is missing, and CI must have it`);
    it.skip(`${missing.join(" and ")} is not installed`);
    return;
  }
  process.env.OCICRYPT_DECODER = build(heading);
  await import("../runtime/decoder.test.js");
  await import("../runtime/decoder-end.test.js");
}

/** Returns the path of the program; nothing else of the build is left. */
function build(heading: string): string {
  const directory = temporaryDirectory();
  const project = join(directory, "project");
  installPackages(project);
  const run = (cwd: string, program: string, ...args: string[]): void => {
    execFileSync(program, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIMEOUT,
      killSignal: "SIGKILL",
    });
  };
  run(project, "sh", "-ec", recipe(heading));
  const program = join(directory, "ocicrypt-decoder");
  renameSync(join(project, "ocicrypt-decoder"), program);
  rmSync(project, { recursive: true });
  // A program that does not start would take the time limit of each test.
  run(directory, program, "--version");
  return program;
}

/** A project with this package and all others, as `npm install` leaves it. */
function installPackages(project: string): void {
  const modules = join(project, "node_modules");
  const own = join(modules, "ocicrypt");
  mkdirSync(own, { recursive: true });
  for (const name of readdirSync(join(ROOT, "node_modules"))) {
    symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  }
  for (const name of ["dist", "package.json"]) {
    cpSync(join(ROOT, name), join(own, name), { recursive: true });
  }
}

/** The commands below a heading, without the one that downloads packages. */
function recipe(heading: string): string {
  const page = readFileSync(join(ROOT, "docs/runtimes.md"), "utf8");
  const [, text = ""] = page.split(`\n${heading}\n`);
  const [, commands] = /```sh\nnpm install [^\n]*\n(.*?)```/s.exec(text) ?? [];
  if (commands === undefined) throw new Error(`docs/runtimes.md has no recipe below ${heading}`);
  return commands;
}
