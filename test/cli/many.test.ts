import { readFileSync } from "node:fs";
import { appendFile, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { isMany, parseCommandLine } from "../../src/cli/arguments.js";
import { UsageError } from "../../src/cli/errors.js";
import { digestOf, reply, testRegistry, type TestRegistry } from "../registry/server.js";
import { run } from "../support/command.js";
import { layer, layoutOf, temporaryDirectories } from "../support/image.js";
import { runHere } from "../support/many.js";
import { pushImage, wholeImage } from "../support/registry-http.js";

const directory = temporaryDirectories();

const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const FOR_P256 = ["-r", `jwe:${KEYS}ec-p256.pub.jwk`];
const FOR_P384 = ["-r", `jwe:${KEYS}ec-p384.pub.pem`];
const KEY = ["-k", `${KEYS}ec-p256.pem`];

interface Line {
  status: string;
  reason?: string;
  source?: string;
  destination?: string;
  image?: unknown;
  error?: { code: string; message: string };
}

interface Run {
  status: number;
  lines: Line[];
  summary: Record<string, number>;
}

let registry: TestRegistry;
let stderr: string[];
beforeEach(async () => {
  registry = await testRegistry();
  stderr = [];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr.push(String(text));
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const at = (repository: string): string => `docker://${registry.host}/${repository}`;

async function push(repository: string, ...tags: string[]): Promise<void> {
  for (const tag of tags) {
    const plain = directory();
    await layoutOf(plain, [await layer(`${repository}:${tag}`)]);
    await pushImage({ host: registry.host, repository }, tag, plain);
  }
}

/** Runs a command in this process, with `--json`. */
async function many(args: readonly string[], signal = new AbortController().signal): Promise<Run> {
  const printed: string[] = [];
  stderr.length = 0;
  const status = await runHere([...args, "--json"], printed, signal);
  const lines = printed.map((text) => JSON.parse(text) as Line);
  const { summary } = JSON.parse(stderr.at(-1) ?? "{}") as Pick<Run, "summary">;
  return { status, lines, summary };
}

/** The digests of a repository's tags. */
function digests(repository: string): Record<string, string> {
  const own = [...registry.manifests].filter(([name]) => name.startsWith(`${repository}:`));
  return Object.fromEntries(own.map(([name, { bytes }]) => [name, digestOf(bytes)]));
}

const statuses = ({ lines }: Run): string[] => lines.map(({ status }) => status).sort();
const tagPuts = (repository: string): string[] =>
  registry.log().filter((each) => each.startsWith(`PUT /v2/${repository}/manifests/t`));

describe("encrypt --all-tags", () => {
  it("encrypts each tag in place, and no tag twice", async () => {
    await push("app", "t1", "t2", "t3");
    registry.pageSize = 2;
    registry.requests.length = 0;
    const args = ["encrypt", "--all-tags", at("app"), at("app"), ...FOR_P256];
    const first = await many(args);
    expect(first).toMatchObject({ status: 0, summary: { images: 3, done: 3, failed: 0 } });
    expect(tagPuts("app").sort()).toEqual(
      [1, 2, 3].map((i) => `PUT /v2/app/manifests/t${String(i)}`),
    );
    const encrypted = digests("app");

    registry.requests.length = 0;
    const second = await many(args);
    expect(second).toMatchObject({ status: 0, summary: { images: 3, done: 0, skipped: 3 } });
    expect(second.lines[0]).toMatchObject({
      status: "skipped",
      reason: "its recipients are as requested",
    });
    expect(registry.log().filter((each) => !each.startsWith("GET "))).toEqual([]);
    expect(digests("app")).toEqual(encrypted);
  });

  it("encrypts into another repository, and later only images that have changed", async () => {
    await push("app", "t1", "t2");
    const args = ["encrypt", "--all-tags", at("app"), at("secret"), ...FOR_P256];
    expect(statuses(await many(args))).toEqual(["done", "done"]);
    for (const tag of ["t1", "t2"])
      await wholeImage({ host: registry.host, repository: "secret" }, tag);
    expect(statuses(await many(args))).toEqual(["skipped", "skipped"]);

    const changed = directory();
    await layoutOf(changed, [await layer("changed")]);
    await pushImage({ host: registry.host, repository: "app" }, "t2", changed);
    const before = digests("secret");
    const { lines } = await many(args);
    expect(lines.map(({ source, status }) => [source, status]).sort()).toEqual([
      [`${at("app")}:t1`, "skipped"],
      [`${at("app")}:t2`, "done"],
    ]);
    expect(digests("secret")["secret:t1"]).toBe(before["secret:t1"]);
    expect(digests("secret")["secret:t2"]).not.toBe(before["secret:t2"]);
  });

  it("encrypts again for other recipients", async () => {
    await push("app", "t1");
    const args = ["encrypt", "--all-tags", at("app"), at("secret")];
    await many([...args, ...FOR_P256]);
    expect(statuses(await many([...args, ...FOR_P256, ...FOR_P384]))).toEqual(["done"]);
    expect(statuses(await many([...args, ...FOR_P384, ...FOR_P256]))).toEqual(["skipped"]);
  });

  it("fails for an image in place that is encrypted for others", async () => {
    await push("app", "t1");
    const args = ["encrypt", "--all-tags", at("app"), at("app")];
    await many([...args, ...FOR_P256]);
    const { status, lines } = await many([...args, ...FOR_P384]);
    expect(status).toBe(1);
    expect(lines).toMatchObject([{ status: "failed", error: { code: "ALREADY_ENCRYPTED" } }]);
  });

  it("continues with the other images when one fails", async () => {
    await push("app", "t1", "t2", "t3");
    registry.putManifest("app", "t2", "application/vnd.oci.image.manifest.v1+json", "{");
    const { status, lines, summary } = await many([
      ...["encrypt", "--all-tags", at("app"), at("app"), ...FOR_P256],
    ]);
    expect({ status, summary }).toMatchObject({ status: 1, summary: { done: 2, failed: 1 } });
    expect(lines.find((line) => line.status === "failed")).toMatchObject({
      destination: `${at("app")}:t2`,
      error: { code: "MANIFEST_INVALID" },
    });
  });

  it("skips the tags of signatures and lists of referrers", async () => {
    await push("app", "t1");
    const hex = "0".repeat(64);
    for (const tag of [`sha256-${hex}.sig`, `sha256-${hex}`]) await push("app", tag);
    const { summary } = await many([
      ...["encrypt", "--all-tags", at("app"), at("secret"), ...FOR_P256],
    ]);
    expect(summary).toMatchObject({ images: 1, done: 1, leftOut: 2 });
  });

  it("stops at a signal, with each image either unchanged or complete", async () => {
    const tags = Array.from({ length: 8 }, (_, i) => `t${String(i)}`);
    await push("app", ...tags);
    const before = digests("app");
    const stop = new AbortController();
    registry.script = (request) => {
      const isTag = request.method === "PUT" && request.target.includes("/manifests/t");
      if (isTag && tagPuts("app").length === 11) stop.abort();
      return false;
    };
    const args = ["encrypt", "--all-tags", at("app"), at("app"), ...FOR_P256, "--jobs", "2"];
    const { summary } = await many(args, stop.signal);
    const after = digests("app");
    const changed = Object.keys(after).filter((name) => after[name] !== before[name]);
    expect(changed.length).toBeLessThan(6);
    expect(summary.done).toBeLessThanOrEqual(changed.length);
    expect(summary).toMatchObject({ failed: 0, left: 8 - (summary.done ?? 0) });
    for (const tag of tags) await wholeImage({ host: registry.host, repository: "app" }, tag);

    registry.script = () => false;
    const rest = await many(args);
    expect(rest.summary).toMatchObject({ done: 8 - changed.length, skipped: changed.length });
    expect(changed.every((name) => digests("app")[name] === after[name])).toBe(true);
  });

  it("reports the results in words", async () => {
    await push("app", "t1", "t2");
    const printed: string[] = [];
    const args = ["encrypt", "--all-tags", at("app"), at("app"), ...FOR_P256];
    await runHere(args, printed);
    expect(printed.sort()[0]).toBe(`done     ${at("app")}:t1  ${digests("app")["app:t1"]!}\n`);
    expect(stderr.filter((text) => text.includes("blobs of 1 plain layer"))).toEqual([
      expect.stringMatching(/^warning: docker:.*:t[12]: the destination still holds/),
      expect.stringMatching(/^warning: 1 more image: the destination still holds/),
    ]);
    expect(stderr.at(-1)).toBe("ocicrypt: 2 images: 2 done, 0 skipped, 0 failed\n");
    printed.length = 0;
    await runHere([...args, "-q"], printed);
    expect(printed.sort()[0]).toBe(`${at("app")}:t1@${digests("app")["app:t1"]!}\n`);
  });

  it("reports a repository that cannot be listed in every shard", async () => {
    const args = ["encrypt", "--all-tags", at("none"), at("secret"), ...FOR_P256];
    for (const shard of ["0/2", "1/2"]) {
      const { status, lines } = await many([...args, "--shard", shard]);
      expect({ status, lines }).toMatchObject({
        status: 1,
        lines: [{ status: "failed", error: { code: "IMAGE_NOT_FOUND" } }],
      });
    }
  });
});

describe("recipients of all tags", () => {
  beforeEach(async () => {
    await push("app", "t1", "t2");
    await many(["encrypt", "--all-tags", at("app"), at("app"), ...FOR_P256]);
  });

  it.each([
    ["add", [...FOR_P384, ...KEY]],
    ["replace", [...FOR_P384, ...FOR_P256, ...KEY]],
  ])("%s changes each once", async (action, options) => {
    const args = ["recipients", action, "--all-tags", at("app"), ...options];
    expect(statuses(await many(args))).toEqual(["done", "done"]);
    const after = digests("app");
    expect(statuses(await many(args))).toEqual(["skipped", "skipped"]);
    expect(digests("app")).toEqual(after);
  });

  it("remove changes each once, even if some lack the recipient", async () => {
    await many(["recipients", "add", "--all-tags", at("app"), ...FOR_P384, ...KEY]);
    await push("app", "t3");
    await many(["encrypt", "--all-tags", at("app"), at("app"), ...FOR_P256]);
    const args = ["recipients", "remove", "--all-tags", at("app"), ...FOR_P384];
    expect(statuses(await many(args))).toEqual(["done", "done", "skipped"]);
    expect(statuses(await many(args))).toEqual(["skipped", "skipped", "skipped"]);
    const { lines } = await many(["recipients", "list", "--all-tags", at("app")]);
    expect(JSON.stringify(lines).match(/ECDH-ES/g)).toHaveLength(3);
  });

  it("remove rejects positions, which differ from image to image", async () => {
    const args = ["recipients", "remove", "--all-tags", at("app"), "--recipient-id", "jwe:0"];
    await expect(many(args)).rejects.toThrow(UsageError);
  });

  it("rotate into another repository changes each once", async () => {
    const options = [...FOR_P256, ...KEY];
    const args = ["rotate", "--all-tags", at("app"), at("new"), ...options];
    expect(statuses(await many(args))).toEqual(["done", "done"]);
    const after = digests("new");
    expect(statuses(await many(args))).toEqual(["skipped", "skipped"]);
    expect(digests("new")).toEqual(after);
    // New recipients alone are no new keys.
    await many(["recipients", "replace", "--all-tags", at("app"), ...FOR_P384, ...KEY]);
    const in_place = ["rotate", "--all-tags", at("new"), at("new"), ...options];
    expect(statuses(await many(in_place))).toEqual(["done", "done"]);
  });

  it("inspect shows each image", async () => {
    const { lines } = await many(["inspect", "--all-tags", at("app"), ...KEY]);
    expect(lines.map(({ image }) => image).sort()).toEqual([`${at("app")}:t1`, `${at("app")}:t2`]);
    expect(JSON.stringify(lines).match(/"opens":true/g)).toHaveLength(2);
    const printed: string[] = [];
    await runHere(["inspect", "--all-tags", at("app")], printed);
    expect(printed.sort()[0]).toMatch(new RegExp(`^${at("app")}:t1\nsha256:`));
  });
});

describe("an interrupted run", () => {
  const TAGS = ["t0", "t1", "t2", "t3", "t4", "t5"];
  const inPlace = ["rotate", "--all-tags", "app", "app", ...FOR_P256, ...KEY];
  const repository = (args: readonly string[]): string[] =>
    args.map((word) => (word === "app" || word === "new" ? at(word) : word));
  let state: string;
  beforeEach(async () => {
    state = directory();
    vi.stubEnv("XDG_STATE_HOME", state);
    await push("app", ...TAGS);
    await many(["encrypt", "--all-tags", at("app"), at("app"), ...FOR_P256]);
  });

  /** Stops a run at its third tag. @returns the tags that it wrote */
  async function interrupt(args: readonly string[], target: string): Promise<string[]> {
    const stop = new AbortController();
    const before = digests(target);
    registry.requests.length = 0;
    registry.script = () => {
      if (tagPuts(target).length === 3) stop.abort();
      return false;
    };
    const { summary } = await many([...repository(args), "--jobs", "1"], stop.signal);
    expect(summary.left).toBeGreaterThan(0);
    registry.script = () => false;
    registry.requests.length = 0;
    const after = digests(target);
    return Object.keys(after).filter((name) => after[name] !== before[name]);
  }

  it.each<[string, string[], string]>([
    ["of rotate in place", inPlace, "app"],
    [
      "of recipients replace without ids",
      ["recipients", "replace", "--all-tags", "app", ...FOR_P384, ...KEY, "--kid", "none"],
      "app",
    ],
    [
      "of recipients add without ids",
      ["recipients", "add", "--all-tags", "app", ...FOR_P384, ...KEY, "--kid", "none"],
      "app",
    ],
    [
      "of rotate without ids",
      ["rotate", "--all-tags", "app", "new", ...FOR_P256, ...KEY, "--kid", "none"],
      "new",
    ],
  ])("%s is continued: each image changes once", async (_, args, target) => {
    const done = await interrupt(args, target);
    const kept = digests(target);
    expect(done.length).toBeGreaterThan(1);
    expect(await readdir(join(state, "ocicrypt"))).toHaveLength(1);
    const { summary, lines } = await many(repository(args));
    expect(summary).toMatchObject({ done: 6 - done.length, skipped: done.length, failed: 0 });
    expect(lines.find(({ status }) => status === "skipped")?.reason).toBe(
      "the interrupted run wrote it",
    );
    for (const name of done) expect(digests(target)[name]).toBe(kept[name]);
    expect(tagPuts(target)).toHaveLength(6 - done.length);
    // The next run is a new one.
    expect(await readdir(join(state, "ocicrypt"))).toEqual([]);
  });

  it("is continued even if its last image was not recorded completely", async () => {
    const done = await interrupt(inPlace, "app");
    const [name] = await readdir(join(state, "ocicrypt"));
    await appendFile(join(state, "ocicrypt", name!), '["half');
    const { summary } = await many(repository(inPlace));
    expect(summary).toMatchObject({ done: 6 - done.length, skipped: done.length });
  });

  it("does not keep images that were changed since from being processed", async () => {
    const done = await interrupt(inPlace, "app");
    await push("app", "t0");
    await many(["encrypt", at("app"), at("app"), "--all-tags", ...FOR_P256]).catch(() => undefined);
    const { summary } = await many(repository(inPlace));
    expect(summary).toMatchObject({ done: 7 - done.length, skipped: done.length - 1 });
  });

  it.each<[string, string[], number]>([
    ["of another command", [...inPlace, "--layer", "0"], 0],
    ["of a week ago", inPlace, 8],
  ])("%s is not continued", async (_, args, days) => {
    await interrupt(inPlace, "app");
    const [name] = await readdir(join(state, "ocicrypt"));
    const then = new Date(Date.now() - days * 24 * 60 * 60 * 1000);
    await utimes(join(state, "ocicrypt", name!), then, then);
    const { summary } = await many(repository(args));
    expect(summary).toMatchObject({ done: 6, skipped: 0 });
  });

  it("warns if it cannot be recorded", async () => {
    await rm(join(state, "ocicrypt"), { recursive: true });
    await writeFile(join(state, "ocicrypt"), "a file");
    const printed: string[] = [];
    expect(await runHere(repository(inPlace), printed)).toBe(0);
    expect(stderr.join("")).toMatch(/warning: .* cannot be written \((ENOTDIR|EEXIST)\); after/);
  });
});

describe("shards", () => {
  const tags = Array.from({ length: 14 }, (_, i) => `t${String(i)}`);
  const imagesOf = async (args: readonly string[]): Promise<unknown[]> =>
    (await many(["recipients", "list", "--all-tags", at("app"), ...args])).lines.map(
      ({ image }) => image,
    );

  it("contain every image once, and keep their images when the list grows", async () => {
    await push("app", ...tags.slice(0, 8));
    const before = [await imagesOf(["--shard", "0/3"]), await imagesOf(["--shard", "1/3"])];
    await push("app", ...tags.slice(8));
    const after = await Promise.all([0, 1, 2].map((i) => imagesOf(["--shard", `${String(i)}/3`])));
    expect(after.flat().sort()).toEqual(tags.map((tag) => `${at("app")}:${tag}`).sort());
    for (const [i, images] of before.entries())
      expect(after[i]).toEqual(expect.arrayContaining(images));
    // The registry's port is part of each name, so one of three shards may well be empty.
    expect(after.filter((images) => images.length > 0).length).toBeGreaterThan(1);
  });

  it("are those of an Indexed Job by default", async () => {
    await push("app", ...tags.slice(0, 6));
    const given = await imagesOf(["--shard", "1/2"]);
    vi.stubEnv("JOB_COMPLETION_INDEX", "1");
    expect(await imagesOf([])).toHaveLength(6);
    vi.stubEnv("JOB_COMPLETIONS", "2");
    expect((await imagesOf([])).sort()).toEqual(given.sort());
    expect(parseCommandLine(["inspect", "oci:a"]).shard).toBeUndefined();
    vi.stubEnv("JOB_COMPLETIONS", "x");
    await expect(imagesOf([])).rejects.toThrow(/"1\/x" of JOB_COMPLETION_INDEX/);
  });

  it.each(["2/2", "-1/2", "0", "1/0", "0/a"])("refuse --shard=%s", (text) => {
    const args = ["inspect", "--all-tags", "docker://h/a", `--shard=${text}`];
    expect(() => parseCommandLine(args)).toThrow(/is not a shard/);
  });
});

describe("images from standard input", () => {
  it("are one on each line, or a source and a destination", async () => {
    await push("app", "t1", "t2");
    const input = `${at("app")}:t1\n\n  ${at("app")}:t2 \t${at("secret")}:v2\r\n${at("app")}:t1\n`;
    const result = await run(["encrypt", "-", ...FOR_P256], { input });
    expect(result).toMatchObject({ status: 0 });
    expect(result.stderr).toContain("ocicrypt: 2 images: 2 done, 0 skipped, 0 failed\n");
    expect(registry.tags().sort()).toEqual(["app:t1", "app:t2", "secret:v2"]);
    const again = await run(["encrypt", "-", ...FOR_P256, "--json"], { input });
    expect(again.stdout.split("\n").filter((line) => line.includes('"skipped"'))).toHaveLength(2);
  });

  it.each([
    ["recipients list -", "docker://h/a docker://h/b\n", "too long"],
    ["rotate - -r jwe:PUBLIC -k KEY", "docker://h/a docker://h/b docker://h/c\n", "too long"],
    [
      "encrypt - -r jwe:PUBLIC",
      "docker://h/a:1 docker://h/c\ndocker://h/b:1 docker://h/c:latest",
      "two sources",
    ],
    ["inspect - -k -", readFileSync(`${KEYS}ec-p256.pem`, "utf8"), "cannot both be standard input"],
    ["inspect -", "app:1\n", "REFERENCE_INVALID"],
  ])("are rejected before any image is processed: %s", async (command, input, message) => {
    const args = command
      .replaceAll("KEY", `${KEYS}ec-p256.pem`)
      .replaceAll("PUBLIC", `${KEYS}ec-p256.pub.jwk`)
      .split(" ");
    const { status, stdout, stderr: said } = await run(args, { input });
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(said).toContain(message);
  });
});

it.each([
  ["encrypt --all-tags docker://h/a -r jwe:x", "takes <source> <destination>, got 1"],
  ["recipients add --all-tags docker://h/a -r jwe:x -k y --digestfile z", "one image only"],
  ["inspect docker://h/a --jobs 2", "--jobs is for many images"],
  ["inspect docker://h/a --shard 0/2", "--shard is for many images"],
  ["inspect --all-tags docker://h/a --jobs 0", "is not a number of jobs"],
  ["decrypt --all-tags docker://h/a docker://h/b -k y", "decrypt has no option --all-tags"],
])("%s is rejected", (command, message) => {
  expect(() => parseCommandLine(command.split(" "))).toThrow(message);
});

it.each(["docker://h/a:1", "oci:layout", "docker://h/a@sha256:00"])(
  "--all-tags rejects %s",
  async (image) => {
    await expect(many(["inspect", "--all-tags", image])).rejects.toThrow(/without a tag/);
  },
);

it("an endless list of tags fails only this repository", async () => {
  registry.script = ({ target }, response) =>
    target.includes("/tags/list") &&
    reply(response, 200, { link: `<${target}>; rel="next"` }, '{"tags":["a"]}');
  const { status, lines } = await many(["inspect", "--all-tags", at("app")]);
  expect({ status, lines }).toMatchObject({
    status: 1,
    lines: [{ error: { code: "REGISTRY_INVALID_RESPONSE" } }],
  });
});

it("the example of an Indexed Job has a valid command, and one shard for each pod", () => {
  const file = new URL("../../examples/kubernetes/encrypt-all-tags.yaml", import.meta.url);
  const { spec } = parse(readFileSync(file, "utf8")) as Job;
  const [container] = spec.template.spec.containers;
  const env = Object.fromEntries(container!.env.map(({ name, value }) => [name, value]));
  expect(spec.completionMode).toBe("Indexed");
  expect(env.JOB_COMPLETIONS).toBe(String(spec.completions));
  for (const name of Object.keys(env)) vi.stubEnv(name, env[name]);
  vi.stubEnv("JOB_COMPLETION_INDEX", "3");
  const line = parseCommandLine(container!.args);
  expect(line).toMatchObject({ command: "encrypt", allTags: true, shard: { index: 3, of: 4 } });
  expect(isMany(line)).toBe(true);
  const mounts = container!.volumeMounts.map(({ mountPath }) => mountPath);
  expect(mounts.some((path) => line.recipients[0]?.startsWith(`jwe:${path}/`))).toBe(true);
  expect(mounts.some((path) => env.REGISTRY_AUTH_FILE?.startsWith(`${path}/`))).toBe(true);
});

interface Job {
  spec: {
    completionMode: string;
    completions: number;
    template: {
      spec: {
        containers: {
          args: string[];
          env: { name: string; value: string }[];
          volumeMounts: { mountPath: string }[];
        }[];
      };
    };
  };
}
