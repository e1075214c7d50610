import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  dockerRegistry,
  stopRegistries,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import {
  DECRYPT,
  ENCRYPT,
  interruptPush,
  makeImages,
  PUBLISHING,
  RECIPIENTS_ADD,
  ROTATE,
  TAG_STORED,
  UPLOADING,
  type Images,
  type InterruptedPush,
  type Interruption,
  type Place,
  type Push,
} from "../support/interrupted-push.js";
import { hasProgram, requirePeer, temporaryDirectory } from "./peers.js";

const root = temporaryDirectory();
stopRegistries();

const directory = (): string => mkdtempSync(join(root, "d"));
const hasRegistry = hasProgram("docker-registry", "--version");

let registry: DockerRegistry;
let images: Images;
beforeAll(async () => {
  if (!hasRegistry) return;
  registry = await dockerRegistry(root);
  images = await makeImages(directory);
});

function interrupt(push: Push, interruption: Interruption): Promise<InterruptedPush> {
  return interruptPush(newPlace(), images, push, interruption);
}

/** Repositories of its own for each test. */
function newPlace(): Place {
  const { host } = registry;
  const prefix = `${randomBytes(8).toString("hex")}/`;
  return {
    ...{ host, prefix, directory },
    async tags(repository) {
      const answer = await fetch(`http://${host}/v2/${prefix}${repository}/tags/list`);
      if (answer.status === 404) return [];
      return ((await answer.json()) as { tags: string[] | null }).tags ?? [];
    },
    uploads: (repository) => registry.uploads(`${prefix}${repository}`),
  };
}

const MOMENTS = [...UPLOADING.slice(1), ...PUBLISHING.slice(1)];

describe.each([
  ["encrypt", ENCRYPT, MOMENTS],
  ["decrypt", DECRYPT, MOMENTS],
  ["rotate", ROTATE, UPLOADING.slice(1)],
  ["recipients add", RECIPIENTS_ADD, PUBLISHING.slice(1)],
] as const)("%s, into Docker's registry", (_, push, moments) => {
  const { signal } = push;

  it.for(moments)("does not change the tag after SIGKILL %s", async ([, moment], context) => {
    requirePeer(context, "docker-registry", hasRegistry);
    const interruption = { moment, signal: "SIGKILL" } as const;
    const { outcome, before, after, again } = await interrupt(push, interruption);
    expect(outcome).toMatchObject({ status: null, signal: "SIGKILL" });
    expect(after).toEqual(before);
    await again();
  });

  it.for(moments)(`also leaves no upload after ${signal} %s`, async ([, moment], context) => {
    requirePeer(context, "docker-registry", hasRegistry);
    const result = await interrupt(push, { moment, signal });
    const { outcome, before, after, forgotten, uploads, broken, again } = result;
    expect(outcome).toMatchObject({ status: signal === "SIGINT" ? 130 : 143, stdout: "" });
    expect(after).toEqual(before);
    expect(forgotten).toEqual([]);
    // An upload whose last request broke off, this registry can keep though it was cancelled.
    expect(uploads.filter((id) => !broken.includes(id))).toEqual([]);
    await again();
  });
});

it("the image is whole after SIGKILL once the tag is stored", async (context) => {
  requirePeer(context, "docker-registry", hasRegistry);
  const interruption = { moment: TAG_STORED, signal: "SIGKILL" } as const;
  const { before, after, again } = await interrupt(DECRYPT, interruption);
  expect({ before, after }).toEqual({ before: {}, after: { v1: images.plainDigest } });
  await again();
});
