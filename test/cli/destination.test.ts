import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { MAIN, runProgram, type Outcome } from "../support/command.js";
import { unavailable } from "../support/environment.js";
import {
  createLayout,
  layer,
  layerOf,
  layoutOf,
  putManifest,
  readEntries,
  snapshot,
  tagged,
  TAR,
  temporaryDirectories,
  writeIndex,
} from "../support/image.js";

const directory = temporaryDirectories();

const KEY = fileURLToPath(new URL("../../vectors/keys/ec-p256.pub.pem", import.meta.url));

type Skip = (why: string) => never;

let large: string;
let small: string;

beforeAll(async () => {
  large = directory();
  const layers = [0, 1, 2].map(() => layerOf(randomBytes(3_000_000), { mediaType: TAR }));
  await layoutOf(large, layers);
  small = directory();
  await layoutOf(small, [await layer("a"), await layer("b")]);
});

/** A layout with an image named `other`, to be copied to where the test takes place. */
async function otherLayout(): Promise<string> {
  const path = await createLayout(directory());
  const { descriptor } = await putManifest(path, [await layer("other")]);
  await writeIndex(path, [tagged(descriptor, "other")]);
  return path;
}

function requireMounts(skip: Skip): void {
  const probe = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", directory()]);
  if (probe.status !== 0) unavailable(skip, "unshare -rm may not mount");
}

/**
 * Encrypts into a file system of its own, which only the processes here see.
 *
 * @param mount options of a tmpfs
 * @param make shell commands that prepare the file system
 * @returns the outcome, with what lies there afterwards on stdout
 */
async function encryptOnto(
  mount: string,
  { source, destination, make = ":" }: { source: string; destination: string; make?: string },
): Promise<Outcome> {
  const place = directory();
  const script = `
    mount -t tmpfs -o ${mount} none "$1" && cd "$1" && ${make} || exit 99
    "$2" "$3" encrypt "oci:$4" "oci:$1/${destination}" -r "jwe:$5"
    status=$?
    cd "$1" && find . -mindepth 1 | LC_ALL=C sort | while read -r name
    do echo "$name $(test -f "$name" && sha256sum < "$name" | cut -c -64)"; done
    exit $status`;
  const args = ["-rm", "sh", "-c", script, "sh", place, process.execPath, MAIN, source, KEY];
  return runProgram("unshare", args);
}

/** How {@link encryptOnto} would show a directory. */
async function listing(path: string, name: string): Promise<string> {
  const entries = Object.entries(await snapshot(path)).map(
    ([each, digest]) => [`./${name}/${each}`, digest.replace(/^-$|^sha256:/, "")] as const,
  );
  const sorted = [[`./${name}`, ""] as const, ...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([each, digest]) => `${each} ${digest}\n`).join("");
}

describe("a destination on a full disk", () => {
  it.for(["1m", "4m", "8m"])("of %s stays absent", async (size, { skip }) => {
    requireMounts(skip);
    const result = await encryptOnto(`size=${size}`, { source: large, destination: "new" });
    expect(result.stderr).toContain("(DESTINATION_FULL)");
    expect(result.stderr).toContain("hint: free some space");
    expect(result).toMatchObject({ status: 1, stdout: "" });
  });

  it.for(["1m", "4m", "8m"])("of %s is unchanged", async (size, { skip }) => {
    requireMounts(skip);
    const other = await otherLayout();
    const result = await encryptOnto(`size=${size}`, {
      ...{ source: large, destination: "there:new" },
      make: `cp -R "${other}" there`,
    });
    expect(result.stderr).toContain("(DESTINATION_FULL)");
    expect(result).toMatchObject({ status: 1, stdout: await listing(other, "there") });
  });

  async function encryptWithFiles(other: string, more: number): Promise<Outcome> {
    const used = (await listing(other, "there")).trimEnd().split("\n").length + 1;
    return encryptOnto(`nr_inodes=${String(used + more)}`, {
      ...{ source: small, destination: "there:new", make: `cp -R "${other}" there` },
    });
  }

  let sweep: Promise<{ before: string; outcomes: Outcome[] }> | undefined;

  /** With every number of files that may be made, up to one that is enough: each step fails once. */
  async function encryptWithAnyFiles(): Promise<{ before: string; outcomes: Outcome[] }> {
    const other = await otherLayout();
    const outcomes: Outcome[] = [];
    while (outcomes.length < 30 && outcomes.at(-1)?.status !== 0) {
      outcomes.push(await encryptWithFiles(other, outcomes.length));
    }
    return { before: await listing(other, "there"), outcomes };
  }

  it("is unchanged, whichever file cannot be created", async ({ skip }) => {
    requireMounts(skip);
    const { before, outcomes } = await (sweep ??= encryptWithAnyFiles());
    const failed = outcomes.slice(0, -1);
    expect(outcomes.at(-1)!.status).toBe(0);
    expect(failed.length).toBeGreaterThan(5);
    for (const { status, stdout } of failed) {
      expect({ status, stdout }).toEqual({ status: 1, stdout: before });
    }
  });

  it("is as reported, whichever file cannot be created", async ({ skip }) => {
    requireMounts(skip);
    const { outcomes } = await (sweep ??= encryptWithAnyFiles());
    const codes = outcomes.slice(0, -1).map(({ stderr }) => /\((\w+)\)\n/.exec(stderr)?.[1]);
    expect(codes).toEqual(codes.map(() => "DESTINATION_FULL"));
  });
});

describe("a destination that cannot be written", () => {
  it("is on a read-only file system", async ({ skip }) => {
    requireMounts(skip);
    const result = await encryptOnto("ro", { source: small, destination: "new" });
    expect(result.stderr).toContain("(DESTINATION_UNWRITABLE)");
    expect(result.stderr).toContain("EROFS");
    expect(result).toMatchObject({ status: 1, stdout: "" });
  });

  /** Encrypts as a user who is bound by permissions: as root, for another user. */
  async function encryptAs(skip: Skip, destination: string): Promise<Outcome> {
    const command = [process.execPath, MAIN, "encrypt", `oci:${small}`, `oci:${destination}`, "-r", `jwe:${KEY}`]; // prettier-ignore
    if (process.getuid?.() !== 0) return runProgram(command[0]!, command.slice(1));
    const user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const probe = spawnSync("setpriv", [...user, process.execPath, MAIN, "--version"]);
    if (probe.status !== 0) return unavailable(skip, "setpriv may not become another user");
    return runProgram("setpriv", [...user, ...command]);
  }

  /** A directory that all may look into, as the one of all of these may be. */
  function common(mode: number): string {
    const path = directory();
    for (const each of [path, join(path, ".."), small]) chmodSync(each, 0o755);
    chmodSync(path, mode);
    return path;
  }

  it("is in a directory of another user", async ({ skip }) => {
    const parent = common(0o555);
    const { status, stdout, stderr } = await encryptAs(skip, `${parent}/new`);
    expect(stderr).toContain("(DESTINATION_UNWRITABLE)");
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(await snapshot(parent)).toEqual({});
  });

  it("is a directory that may not be read", async ({ skip }) => {
    const parent = common(0o755);
    const path = join(parent, "there");
    await mkdir(path);
    await chmod(path, 0o300);
    const { status, stderr } = await encryptAs(skip, path);
    expect(stderr).toContain("(DESTINATION_UNWRITABLE)");
    expect(stderr).toContain(path);
    expect(status).toBe(1);
    await chmod(path, 0o700);
    expect(await snapshot(path)).toEqual({});
  });

  it("is a layout of another user", async ({ skip }) => {
    const parent = common(0o755);
    const path = await createLayout(join(parent, "there"));
    await putManifest(path, [await layer("other")]);
    await chmod(path, 0o555);
    const before = await snapshot(path);
    const { status, stdout, stderr } = await encryptAs(skip, path);
    await chmod(path, 0o755);
    expect(await snapshot(path)).toEqual(before);
    expect(stderr).toContain("(DESTINATION_UNWRITABLE)");
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  });
});

describe("a stage that another user left behind", () => {
  it("does not prevent writing to a shared directory", async ({ skip }) => {
    if (process.getuid?.() !== 0) skip("only root can leave the stage of another user");
    const parent = directory();
    for (const each of [join(parent, ".."), small]) chmodSync(each, 0o755);
    const host = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
    const { pid } = spawnSync(process.execPath, ["--version"]);
    const stage = join(parent, `.ocicrypt-${host}-${String(pid)}-0123456789abcdef`);
    await mkdir(stage, { mode: 0o700 });
    await writeFile(join(stage, "file"), "");
    chmodSync(parent, 0o1777);
    const command = [MAIN, "encrypt", `oci:${small}`, `oci:${parent}/new`, "-r", `jwe:${KEY}`];
    const user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const probe = spawnSync("setpriv", [...user, process.execPath, MAIN, "--version"]);
    if (probe.status !== 0) unavailable(skip, "setpriv may not become another user");
    const result = await runProgram("setpriv", [...user, process.execPath, ...command]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(await readEntries(join(parent, "new"))).toHaveLength(1);
  });
});
