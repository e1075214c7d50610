import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import {
  dockerRegistry,
  stopRegistries,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import { outcome, run, start } from "../support/command.js";
import { layer, layoutOf, temporaryDirectories } from "../support/image.js";
import { pushImage, wholeImage } from "../support/registry-http.js";
import { requestLog, type RequestLog } from "./request-log.js";

stopRegistries();
const directory = temporaryDirectories();
const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const RECIPIENT = ["-r", `jwe:${KEYS}ec-p256.pub.jwk`];
const KEY = ["-k", `${KEYS}ec-p256.pem`];
const COUNT = 60;
const TAGS = Array.from({ length: COUNT }, (_, i) => `t${String(i)}`);

let registry: DockerRegistry;
beforeAll(async () => {
  registry = await dockerRegistry(directory());
  for (const tag of TAGS) {
    const path = directory();
    await layoutOf(path, [await layer(tag)]);
    await pushImage({ host: registry.host, repository: "app" }, tag, path);
  }
});

/** The tags of a repository that were written, in the order of the requests. */
function written(log: RequestLog, repository: string): string[] {
  const start = `PUT /v2/${repository}/manifests/t`;
  return log.lines
    .filter((line) => line.startsWith(start))
    .map((line) => line.slice(start.length - 1));
}

/** Runs a command, and kills it once so many tags are written. */
async function killAfter(
  count: number,
  log: RequestLog,
  args: readonly string[],
  repository = "secret",
): Promise<void> {
  const child = start(args);
  const ended = outcome(child);
  while (written(log, repository).length < count) {
    if (child.exitCode !== null) throw new Error((await ended).stderr);
    await setTimeout(5);
  }
  child.kill("SIGKILL");
  expect(await ended).toMatchObject({ signal: "SIGKILL" });
}

describe("encrypt --all-tags in docker-registry", () => {
  it("changes each of 60 images once, although it is killed twice", async () => {
    const log = await requestLog(registry.host);
    const at = (repository: string): string => `docker://${log.host}/${repository}`;
    const args = ["encrypt", "--all-tags", at("app"), at("secret"), ...RECIPIENT, "--json"];
    await killAfter(15, log, args);
    await killAfter(35, log, args);
    const last = await run(args);
    expect(last.status).toBe(0);
    expect(last.stderr).toMatch(/"images":60,.*"failed":0,"left":0/);
    expect(written(log, "secret").sort()).toEqual([...TAGS].sort());
    for (const tag of TAGS) await wholeImage({ host: log.host, repository: "secret" }, tag);

    const again = await run(args);
    expect(again.stderr).toContain('"done":0,"skipped":60');
    expect(written(log, "secret")).toHaveLength(COUNT);
    const audit = await run(["audit", at("secret"), ...KEY, "--csv"]);
    expect(audit.status).toBe(0);
    expect(audit.stdout.match(/,encrypted,1,,jwe:ec-p256,\S+ec-p256\.pem,/g)).toHaveLength(COUNT);
  });

  it("rotates each of 60 images in place once, although it is killed twice", async () => {
    const first = await requestLog(registry.host);
    const target = `docker://${first.host}/rotated`;
    await run(["encrypt", "--all-tags", `docker://${first.host}/app`, target, ...RECIPIENT]);
    const log = await requestLog(registry.host);
    const at = `docker://${log.host}/rotated`;
    const args = ["rotate", "--all-tags", at, at, ...RECIPIENT, ...KEY, "--json"];
    await killAfter(15, log, args, "rotated");
    await killAfter(35, log, args, "rotated");
    const last = await run(args);
    expect(last.status).toBe(0);
    expect(written(log, "rotated").sort()).toEqual([...TAGS].sort());
    for (const tag of TAGS) await wholeImage({ host: log.host, repository: "rotated" }, tag);
  });

  it("two shards at the same time write each image once", async () => {
    const log = await requestLog(registry.host);
    const at = (repository: string): string => `docker://${log.host}/${repository}`;
    const args = ["encrypt", "--all-tags", at("app"), at("shards"), ...RECIPIENT, "--json"];
    const shards = await Promise.all(
      [0, 1].map((i) =>
        run(args, { env: { JOB_COMPLETION_INDEX: String(i), JOB_COMPLETIONS: "2" } }),
      ),
    );
    expect(shards.map(({ status }) => status)).toEqual([0, 0]);
    const images = shards.map(({ stdout }) => stdout.trimEnd().split("\n").length);
    expect(images[0]! + images[1]!).toBe(COUNT);
    expect(Math.min(...images)).toBeGreaterThan(COUNT / 5);
    expect(written(log, "shards").sort()).toEqual([...TAGS].sort());
  });

  it("stops at Ctrl-C with status 130, and skopeo reads each image that was written", async () => {
    const log = await requestLog(registry.host);
    const at = (repository: string): string => `docker://${log.host}/${repository}`;
    const child = start(["encrypt", "--all-tags", at("app"), at("stopped"), ...RECIPIENT]);
    const ended = outcome(child);
    while (written(log, "stopped").length < 5 && child.exitCode === null) await setTimeout(5);
    child.kill("SIGINT");
    const { status, stdout, stderr } = await ended;
    expect(status).toBe(130);
    expect(stderr).toMatch(/60 images: \d+ done, 0 skipped, 0 failed, \d+ left: run the same/);
    const tags = stdout.match(/:t\d+/g) ?? [];
    expect(tags.length).toBeGreaterThan(0);
    const [tag = ""] = tags;
    const image = `docker://${registry.host}/stopped${tag}`;
    const skopeo = ["inspect", "--tls-verify=false", "--raw", image];
    expect(spawnSync("skopeo", skopeo).stdout.toString()).toContain("+encrypted");
  });
});
