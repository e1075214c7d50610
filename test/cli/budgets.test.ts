import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  createLayout,
  forPlatform,
  layer,
  MANIFEST,
  putBlob,
  putIndex,
  putManifest,
  putText,
  tagged,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../support/image.js";
import { run, type Outcome } from "../support/command.js";
import { MAX_DESCRIPTORS, MAX_JSON_VALUES, MAX_MANIFEST_SIZE } from "../../src/spec/limits.js";

/** The most memory of a command that reads any image within the limits. */
const MAX_MEMORY = 300 * 1024 * 1024;
/** In milliseconds; 100 on a machine that does nothing else. */
const MAX_STRETCH = 250;

const directory = temporaryDirectories();
const WATCH = new URL("../support/watch-process.js", import.meta.url).href;

interface Watched extends Outcome {
  peak: number;
  stretch: number;
}

/** Runs the command, with its largest memory and longest stretch. */
async function watch(args: readonly string[]): Promise<Watched> {
  const WATCHED = join(directory(), "watched");
  const outcome = await run(args, { env: { WATCHED, NODE_OPTIONS: `--import ${WATCH}` } });
  return { ...outcome, ...(JSON.parse(readFileSync(WATCHED, "utf8")) as Watched) };
}

/** A layout with an index of 15 manifests, each with these members in its first layer's descriptor. */
async function fifteen(members: (room: number) => string): Promise<string> {
  const path = await createLayout(directory());
  const content = await layer("a");
  await putBlob(path, content.blob);
  const config = { mediaType: "application/vnd.oci.image.config.v1+json" };
  const stored = await putBlob(path, JSON.stringify({ rootfs: { diff_ids: [content.diffId] } }));
  const entries: Entry[] = [];
  for (let i = 0; i < 15; i++) {
    const document = JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { ...config, ...stored },
      layers: [{ ...content.descriptor, i }],
    });
    const text = document.replace(`"i":${String(i)}`, (member) => {
      return `${member},${members(MAX_MANIFEST_SIZE - document.length - 10)}`;
    });
    expect(text.length).toBeLessThanOrEqual(MAX_MANIFEST_SIZE);
    entries.push(forPlatform(await putText(path, text), `linux/a${String(i)}`));
  }
  await writeIndex(path, [tagged(await putIndex(path, entries), "x")]);
  return `oci:${path}:x`;
}

describe.runIf(process.platform === "linux")("an image within the limits", () => {
  it.each<[string, (room: number) => string]>([
    ["long texts", (room) => `"x":"${"a".repeat(room - 10)}"`],
    ["many small objects", () => `"x":[${'{"a":1},'.repeat((MAX_JSON_VALUES - 100) / 2)}1]`],
    ["many empty arrays", () => `"x":[${"[],".repeat(MAX_JSON_VALUES - 100)}1]`],
    ["many escapes", (room) => `"x":"${"\\u00e9".repeat((room - 10) / 6)}"`],
  ])(
    "and of 15 large manifests with %s is read in little memory and short stretches",
    async (_, members) => {
      const { status, stderr, peak, stretch } = await watch(["inspect", await fifteen(members)]);
      expect(stderr).toBe("");
      expect(status).toBe(0);
      expect(peak).toBeLessThan(MAX_MEMORY);
      expect(stretch).toBeLessThan(MAX_STRETCH);
    },
  );

  it("and of as many layers as there may be is read in little memory and short stretches", async () => {
    const path = await createLayout(directory());
    const content = await layer("a");
    const stored = await putManifest(path, [content]);
    const one = JSON.stringify(content.descriptor);
    const text = stored.text.replace(one, Array(MAX_DESCRIPTORS).fill(one).join());
    const descriptor = await putText(path, text);
    await writeIndex(path, [tagged(descriptor, "x")]);
    const { status, stderr, peak, stretch } = await watch(["inspect", `oci:${path}:x`]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(peak).toBeLessThan(MAX_MEMORY);
    expect(stretch).toBeLessThan(MAX_STRETCH);
  });
});
