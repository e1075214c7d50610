import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { algorithm, integer, octets, pbes2, sequence } from "../keys/pkcs12-builder.js";
import { outcome, run, start, type Outcome } from "../support/command.js";
import {
  createLayout,
  layer,
  layerOf,
  layoutOf,
  putManifest,
  readEntries,
  snapshot,
  leftStages,
  stagesIn,
  tagged,
  TAR,
  temporaryDirectories,
  writeIndex,
} from "../support/image.js";
import { holdAtFile, type FileMoment } from "../support/interrupt.js";

const directory = temporaryDirectories();

const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const MIB = 1024 * 1024;
/** Every layer, and all of them together. */
const LAYER_SIZE = 15 * MIB;
const IMAGE_SIZE = 4 * LAYER_SIZE;

let plain: string;
let encrypted: string;
/** An image of a few bytes. */
let small: { plainDigest: string; encrypted: string };

beforeAll(async () => {
  plain = directory();
  const layers = [0, 1, 2, 3].map(() => layerOf(randomBytes(LAYER_SIZE), { mediaType: TAR }));
  await layoutOf(plain, layers);
  encrypted = join(directory(), "encrypted");
  expect((await run(command("encrypt", plain, encrypted))).status).toBe(0);
  const smallPlain = directory();
  const { descriptor } = await layoutOf(smallPlain, [await layer("a"), await layer("b")]);
  small = { plainDigest: descriptor.digest, encrypted: join(directory(), "encrypted") };
  expect((await run(command("encrypt", smallPlain, small.encrypted))).status).toBe(0);
});

function command(name: "encrypt" | "decrypt", source: string, destination: string): string[] {
  const key = name === "encrypt" ? ["-r", `jwe:${KEYS}ec-p256.pub.pem`] : ["-k", `${KEYS}ec-p256.pem`]; // prettier-ignore
  return [name, `oci:${source}`, `oci:${destination}`, ...key];
}

/** How many bytes lie in the stages in a directory; `undefined` where there is no stage. */
async function stagedBytes(parent: string): Promise<number | undefined> {
  let sum: number | undefined;
  for (const stage of await stagesIn(parent)) {
    sum ??= 0;
    const entries = await readdir(join(parent, stage), {
      withFileTypes: true,
      recursive: true,
    }).catch(() => []);
    for (const entry of entries.filter((each) => each.isFile())) {
      // Files move while this looks at them.
      const found = await stat(join(entry.parentPath, entry.name)).catch(() => ({ size: 0 }));
      sum += found.size;
    }
  }
  return sum;
}

/** Sends a signal once so many bytes are staged. */
async function killAt(
  child: ChildProcess,
  parent: string,
  bytes: number,
  signal: NodeJS.Signals,
): Promise<Outcome> {
  const ended = outcome(child);
  while (child.exitCode === null && child.signalCode === null) {
    const staged = await stagedBytes(parent);
    if (staged !== undefined && staged >= bytes) {
      child.kill(signal);
      break;
    }
    await sleep(1);
  }
  return ended;
}

const MOMENTS = [0, LAYER_SIZE, IMAGE_SIZE] as const;

const DESTINATIONS = ["new", "layout"] as const;

interface Destination {
  /** Where its stage appears. */
  parent: string;
  path: string;
  /** The reference to name. */
  reference: string;
}

async function makeDestination(kind: (typeof DESTINATIONS)[number]): Promise<Destination> {
  const parent = directory();
  if (kind === "new") {
    const path = join(parent, "new");
    return { parent, path, reference: path };
  }
  await createLayout(parent);
  const { descriptor } = await putManifest(parent, [await layer("other")]);
  await writeIndex(parent, [tagged(descriptor, "other")]);
  return { parent, path: parent, reference: `${parent}:new` };
}

/** The files of a directory that others see. */
async function visible(path: string): Promise<Record<string, string>> {
  const entries = Object.entries(await snapshot(path));
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith(".ocicrypt-")));
}

async function names(path: string): Promise<(string | undefined)[]> {
  const entries = await readEntries(path);
  return entries.map((each) => each.annotations?.["org.opencontainers.image.ref.name"]);
}

describe.each(DESTINATIONS)("SIGKILL, with a destination that is %s", (kind) => {
  it.each(MOMENTS)("at %i bytes leaves it unchanged or complete", async (bytes) => {
    const { parent, path, reference } = await makeDestination(kind);
    const before = await visible(path);
    const child = start(command("decrypt", encrypted, reference));
    const { status, signal } = await killAt(child, parent, bytes, "SIGKILL");
    const after = await visible(path);
    const published = kind === "new" ? !("absent" in after) : (await names(path)).length === 2;
    if (status === 0) expect(published).toBe(true);
    else expect(signal).toBe("SIGKILL");
    if (!published) {
      // Blobs that no index names are no part of an image.
      expect(after).toMatchObject(before);
      if (kind === "new") expect(after).toEqual(before);
    }
    if (signal === "SIGKILL" && !published) expect(await leftStages(parent)).toHaveLength(1);

    expect((await run(command("decrypt", encrypted, reference))).status).toBe(0);
    expect(await stagesIn(parent)).toEqual([]);
    const image = (await readEntries(path)).at(-1)!;
    expect(image.digest).toBe((await readEntries(plain))[0]!.digest);
    if (kind === "layout") expect(await names(path)).toEqual(["other", "new"]);
    await rm(parent, { recursive: true });
  });
});

describe.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s", (signal, expected) => {
  it.each(DESTINATIONS)(
    "ends the command with its status and leaves no stage: %s",
    async (kind) => {
      const { parent, path, reference } = await makeDestination(kind);
      const before = await snapshot(path);
      const child = start(command("decrypt", encrypted, reference));
      const { status, stdout, stderr } = await killAt(child, parent, MIB, signal);
      expect({ status, stdout }).toEqual({ status: expected, stdout: "" });
      expect(stderr).toContain("interrupted");
      expect(await stagesIn(parent)).toEqual([]);
      expect(await snapshot(path)).toEqual(before);
    },
  );
});

/** In bytes: proc(5), VmRSS. */
function residentMemory({ pid }: ChildProcess): number {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

const isLinux = process.platform === "linux";
it.runIf(isLinux)("SIGINT ends a derivation that cannot be interrupted", async () => {
  // scrypt with 256 MiB, four times: RFC 7914 section 7.
  const numbers = [integer(262_144), integer(8), integer(4)];
  const scrypt = algorithm("1.3.6.1.4.1.11591.4.11", sequence(octets(randomBytes(8)), ...numbers));
  const key = join(directory(), "key.der");
  await writeFile(key, sequence(pbes2(scrypt), octets(randomBytes(160))));
  const child = start(["inspect", `oci:${small.encrypted}`, "-k", `${key}:pass=x`]);
  const ended = outcome(child);
  // The derivation runs as soon as its memory is there.
  const running = (): void => {
    expect(residentMemory(child)).toBeGreaterThan(200 * MIB);
  };
  await vi.waitFor(running, { timeout: 60_000 });
  child.kill("SIGINT");
  expect(await ended).toMatchObject({ status: null, signal: "SIGINT", stdout: "" });
});

const STAGED = "/\\.ocicrypt-[^/]+/image";
const renaming = (path: string, count = 1): FileMoment => ({ operation: "rename", path, count });

describe.each([
  ["new", "before it appears", renaming(`${STAGED}$`)],
  ["layout", "before its blobs come", renaming(`${STAGED}/blobs/`)],
  ["layout", "between its blobs", renaming(`${STAGED}/blobs/`, 2)],
  ["layout", "before its index changes", renaming(`${STAGED}/index\\.json$`)],
] as const)("a destination that is %s, %s,", (kind, _, moment) => {
  async function expectDone({ parent, path }: Destination): Promise<void> {
    expect(await stagesIn(parent)).toEqual([]);
    expect((await readEntries(path)).at(-1)!.digest).toBe(small.plainDigest);
    if (kind === "layout") expect(await names(path)).toEqual(["other", "new"]);
  }

  it("is unchanged after SIGKILL", async () => {
    const destination = await makeDestination(kind);
    const { parent, path, reference } = destination;
    const before = await visible(path);
    const args = command("decrypt", small.encrypted, reference);
    const held = await holdAtFile(args, moment);
    expect(await held.interrupt("SIGKILL")).toMatchObject({ status: null, signal: "SIGKILL" });
    expect(await visible(path)).toMatchObject(before);
    expect(await leftStages(parent)).toHaveLength(1);

    expect((await run(args)).status).toBe(0);
    await expectDone(destination);
  });

  it("is complete and reported as complete after SIGINT", async () => {
    const destination = await makeDestination(kind);
    const held = await holdAtFile(
      command("decrypt", small.encrypted, destination.reference),
      moment,
    );
    const { status, stdout, stderr } = await held.interrupt("SIGINT");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain(`oci:${destination.reference}`);
    await expectDone(destination);
  });
});
