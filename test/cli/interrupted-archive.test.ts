import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { extract } from "tar-stream";
import { beforeAll, describe, expect, it } from "vitest";
import { decryptImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import { collect } from "../support/bytes.js";
import { run } from "../support/command.js";
import {
  createLayout,
  layer,
  layerOf,
  layoutOf,
  putBlob,
  readEntries,
  readManifest,
  snapshot,
  leftStages,
  tagged,
  TAR,
  tar,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
} from "../support/image.js";
import { holdAtFile, type FileMoment } from "../support/interrupt.js";

const directory = temporaryDirectories();

const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const RECIPIENT = ["-r", `jwe:${KEYS}ec-p256.pub.pem`];
const KEY = ["-k", `${KEYS}ec-p256.pem`];
const TAG = "app";

const reference = (path: string): string => `oci-archive:${path}:${TAG}`;

let plain: string;
let plainDigest: string;
let encrypted: string;
let other: string;

beforeAll(async () => {
  const layers = [0, 1, 2].map(() => layerOf(randomBytes(600_000), { mediaType: TAR }));
  plain = await archiveOf(layers);
  plainDigest = (await unpack(plain)).image.digest;
  other = await archiveOf([await layer("other")]);
  encrypted = join(directory(), "encrypted.tar");
  const { status } = await run(["encrypt", reference(plain), reference(encrypted), ...RECIPIENT]);
  expect(status).toBe(0);
});

async function archiveOf(layers: readonly Layer[]): Promise<string> {
  const layout = directory();
  const { descriptor } = await layoutOf(layout, layers);
  await writeIndex(layout, [tagged(descriptor, TAG)]);
  const names = Object.entries(await snapshot(layout)).filter(([, content]) => content !== "-");
  const files = names.map(async ([name]) => [name, await readFile(join(layout, name))] as const);
  const path = join(directory(), "image.tar");
  await writeFile(path, await tar(Object.fromEntries(await Promise.all(files))));
  return path;
}

interface Unpacked {
  layout: string;
  image: Entry;
}

/** The only image of an archive, with all its blobs, as tar-stream finds it. */
async function unpack(archive: string): Promise<Unpacked> {
  const layout = await createLayout(directory());
  const blobs = new Set<string>();
  for await (const entry of createReadStream(archive).pipe(extract())) {
    const { name } = entry.header;
    const content = await collect(entry as AsyncIterable<Buffer>);
    if (name === "index.json") await writeFile(join(layout, name), content);
    else if (name.startsWith("blobs/")) blobs.add((await putBlob(layout, content)).digest);
  }
  const [image, ...more] = await readEntries(layout);
  expect(more).toEqual([]);
  const { config, layers } = await readManifest(layout, image!);
  const named = [image!, config, ...layers].map(({ digest }) => digest);
  expect([...blobs].sort()).toEqual([...new Set(named)].sort());
  return { layout, image: image! };
}

/** The digest of what an archive is when it is decrypted. */
async function decryptedDigest(archive: string): Promise<string> {
  const { layout } = await unpack(archive);
  const keys = [jwe.key(await readFile(`${KEYS}ec-p256.pem`))];
  const destination = await layoutDestination({ path: join(directory(), "decrypted") });
  return (await decryptImage(layoutSource({ path: layout }), destination, { keys })).image.digest;
}

/** Writes one archive. */
interface Job {
  args: (path: string) => readonly string[];
  /** The files that exist before. */
  existing?: () => string;
  /** Of the plain image, as it is or as it is decrypted. */
  digest: (path: string) => Promise<string>;
  signal: "SIGINT" | "SIGTERM";
}

const DECRYPT: Job = {
  args: (path) => ["decrypt", reference(encrypted), reference(path), ...KEY],
  digest: async (path) => (await unpack(path)).image.digest,
  signal: "SIGINT",
};
const ROTATE: Job = {
  args: (path) => ["rotate", reference(encrypted), reference(path), ...RECIPIENT, ...KEY],
  existing: () => other,
  digest: decryptedDigest,
  signal: "SIGTERM",
};
const ENCRYPT: Job = {
  args: (path) => ["encrypt", reference(path), reference(path), ...RECIPIENT],
  existing: () => plain,
  digest: decryptedDigest,
  signal: "SIGINT",
};
const RECIPIENTS_ADD: Job = {
  args: (path) => ["recipients", "add", reference(path), "-r", `jwe:${KEYS}ec-p384.pub.pem`, ...KEY], // prettier-ignore
  existing: () => encrypted,
  digest: decryptedDigest,
  signal: "SIGTERM",
};

const STAGE = "/\\.ocicrypt-[^/]+$";
const STAGED = "/\\.ocicrypt-[^/]+/[^/]+$";
/** Three layers, a config and a manifest; the archive comes after them. */
const STAGED_FILES = 5;

const READING: FileMoment = { operation: "open", path: "\\.tar$", count: 1 };
const BETWEEN_BLOBS: FileMoment = { operation: "close", path: STAGED, count: 2 };
const PACKING: FileMoment = { operation: "rm", path: STAGED, count: 2 };
const RENAMING: FileMoment = { operation: "rename", path: STAGED, count: 1 };
const TIDYING: FileMoment = { operation: "rm", path: STAGE, count: 1 };

type Moments = readonly (readonly [string, FileMoment])[];

const STAGING: Moments = [
  ["with the first blob staged", { operation: "close", path: STAGED, count: 1 }],
  ["between blobs", BETWEEN_BLOBS],
  ["with the manifest staged", { operation: "open", path: STAGED, count: STAGED_FILES + 1 }],
  ["with a part of the archive packed", PACKING],
];
const SOME: Moments = STAGING.filter(([, moment]) => [BETWEEN_BLOBS, PACKING].includes(moment));

async function prepare({ existing }: Job): Promise<{ parent: string; path: string }> {
  const parent = directory();
  const path = join(parent, "image.tar");
  if (existing !== undefined) await copyFile(existing(), path);
  return { parent, path };
}

async function kill(args: readonly string[], moment: FileMoment): Promise<void> {
  const held = await holdAtFile(args, moment);
  const outcome = await held.interrupt("SIGKILL");
  expect(outcome).toEqual({ status: null, signal: "SIGKILL", stdout: "", stderr: "" });
}

/** The files of a directory that others see. */
async function visible(parent: string): Promise<Record<string, string>> {
  const entries = Object.entries(await snapshot(parent));
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith(".ocicrypt-")));
}

/** Runs the command to its end, and finds the new archive and nothing else. */
async function expectDone(parent: string, path: string, { args, digest }: Job): Promise<void> {
  expect(await run(args(path))).toMatchObject({ status: 0 });
  expect(Object.keys(await snapshot(parent))).toEqual(["image.tar"]);
  expect(await digest(path)).toBe(plainDigest);
}

describe.each([
  ["a new archive", DECRYPT, STAGING],
  ["an archive that is replaced", ROTATE, SOME],
  ["an archive that is encrypted in place", ENCRYPT, STAGING],
  ["an archive whose recipients change", RECIPIENTS_ADD, SOME],
] as const)("%s", (_, job, moments) => {
  const { args, signal } = job;

  it.each([...moments, ["just before the rename", RENAMING] as const])(
    "is unchanged after SIGKILL %s, and can be written again",
    async (_, moment) => {
      const { parent, path } = await prepare(job);
      const before = await snapshot(parent);
      await kill(args(path), moment);
      expect(await visible(parent)).toEqual(before);
      const [stage, ...more] = await leftStages(parent);
      expect((await stat(join(parent, stage!))).mode & 0o777).toBe(0o700);
      expect(more).toEqual([]);
      await expectDone(parent, path, job);
    },
  );

  it("is unchanged after SIGKILL while the source is read", async () => {
    const { parent, path } = await prepare(job);
    const before = await snapshot(parent);
    await kill(args(path), READING);
    expect(await snapshot(parent)).toEqual(before);
  });

  it.each([
    ["while the source is read", READING] as const,
    ...moments,
    ["with all of the archive packed", { operation: "sync", path: STAGED, count: 1 }] as const,
  ])(`is unchanged, without a stage, after ${signal} %s`, async (_, moment) => {
    const { parent, path } = await prepare(job);
    const before = await snapshot(parent);
    const held = await holdAtFile(args(path), moment);
    expect(await held.interrupt(signal)).toEqual({
      status: signal === "SIGINT" ? 130 : 143,
      signal: null,
      stdout: "",
      stderr: "ocicrypt: interrupted; the destination is unchanged\n",
    });
    expect(await snapshot(parent)).toEqual(before);
  });
});

describe.each([
  ["a new archive", DECRYPT],
  ["an archive that is replaced", ROTATE],
])("%s", (_, job) => {
  const { args, digest, signal } = job;

  it("is complete after SIGKILL that follows the rename", async () => {
    const { parent, path } = await prepare(job);
    await kill(args(path), TIDYING);
    expect(await digest(path)).toBe(plainDigest);
    expect(await leftStages(parent)).toHaveLength(1);
    await expectDone(parent, path, job);
  });

  it.each([
    ["at the rename", RENAMING],
    ["behind the rename", TIDYING],
  ])(`is complete and reported as complete after ${signal} %s`, async (_, moment) => {
    const { parent, path } = await prepare(job);
    const held = await holdAtFile(args(path), moment);
    const { status, stdout, stderr } = await held.interrupt(signal);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain(reference(path));
    expect(Object.keys(await snapshot(parent))).toEqual(["image.tar"]);
    expect(await digest(path)).toBe(plainDigest);
  });
});
