import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import { registrySource } from "../../src/registry/index.js";
import { run, start, type Outcome } from "./command.js";
import { holdingProxy, type HoldingProxy, type RequestMoment } from "./holding-proxy.js";
import {
  createLayout,
  forPlatform,
  INDEX,
  layer,
  layerOf,
  layoutOf,
  putIndex,
  putManifest,
  TAR,
  writeIndex,
} from "./image.js";
import { reached } from "./interrupt.js";
import { pushImage, wholeImage } from "./registry-http.js";

const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const RECIPIENT = ["-r", `jwe:${KEYS}ec-p256.pub.pem`];
const KEY = ["-k", `${KEYS}ec-p256.pem`];
const TAG = "v1";
/** In bytes. */
const LARGE = 1_500_000;

/** Layouts with one image each. */
export interface Images {
  plain: string;
  encrypted: string;
  /** Another image. */
  other: string;
  /** Of the plain image. */
  plainDigest: string;
}

/** Images of two platforms, whose common layer is much larger than all other blobs. */
export async function makeImages(directory: () => string): Promise<Images> {
  const plain = await createLayout(directory());
  const base = layerOf(randomBytes(LARGE), { mediaType: TAR });
  const amd64 = await putManifest(plain, [base, await layer("amd64")]);
  const arm64 = await putManifest(plain, [base, await layer("arm64")]);
  const entries = [
    forPlatform(amd64.descriptor, "linux/amd64"),
    forPlatform(arm64.descriptor, "linux/arm64"),
  ];
  const index = await putIndex(plain, entries);
  await writeIndex(plain, [index]);
  const other = directory();
  await layoutOf(other, [await layer("other")]);
  const encrypted = directory();
  const recipients = [jwe.recipient(await readFile(`${KEYS}ec-p256.pub.pem`))];
  const destination = await layoutDestination({ path: encrypted });
  await encryptImage(layoutSource({ path: plain }), destination, { recipients });
  return { plain, encrypted, other, plainDigest: index.digest };
}

/** A part of a registry that is there for one test. */
export interface Place {
  host: string;
  /** Begins the names of its repositories. */
  prefix: string;
  tags: (repository: string) => string[] | Promise<string[]>;
  /** Those that were neither finished nor cancelled. */
  uploads: (repository: string) => string[];
  /** Makes one. */
  directory: () => string;
}

/** A command that pushes an image. */
export interface Push {
  args: (at: (repository: string) => string, images: Images) => readonly string[];
  /** The existing images, by repository. */
  there: Readonly<Record<string, "encrypted" | "other">>;
  /** Whose tag it changes. */
  repository: string;
  isPlain: boolean;
  signal: "SIGINT" | "SIGTERM";
}

export const ENCRYPT: Push = {
  args: (at, { plain }) => ["encrypt", `oci:${plain}`, at("secret"), ...RECIPIENT],
  there: { secret: "other" },
  repository: "secret",
  isPlain: false,
  signal: "SIGINT",
};
export const DECRYPT: Push = {
  args: (at) => ["decrypt", at("secret"), at("opened"), ...KEY],
  there: { secret: "encrypted" },
  repository: "opened",
  isPlain: true,
  signal: "SIGTERM",
};
export const ROTATE: Push = {
  args: (at) => ["rotate", at("secret"), at("secret"), ...RECIPIENT, ...KEY],
  there: { secret: "encrypted" },
  repository: "secret",
  isPlain: false,
  signal: "SIGINT",
};
export const RECIPIENTS_ADD: Push = {
  args: (at) => ["recipients", "add", at("secret"), "-r", `jwe:${KEYS}ec-p384.pub.pem`, ...KEY],
  there: { secret: "encrypted" },
  repository: "secret",
  isPlain: false,
  signal: "SIGTERM",
};

const UPLOADS = /\/blobs\/uploads\/$/;
const UPLOAD = /\/blobs\/uploads\/[^/?]+(?:\?|$)/;
const DIGEST = /\/manifests\/sha256:/;
const TAGGED = new RegExp(`/manifests/${TAG}$`);

type Moments = readonly (readonly [string, RequestMoment])[];

export const UPLOADING: Moments = [
  ["before the first upload", { method: "POST", target: UPLOADS, passed: "nothing" }],
  ["within a stream", { method: "PATCH", target: UPLOAD, passed: LARGE / 2 }],
  ["before a blob is finished", { method: "PUT", target: UPLOAD, passed: "nothing" }],
];

const OF_INDEX = { "content-type": INDEX };

export const PUBLISHING: Moments = [
  ["between blobs and manifests", { method: "PUT", target: DIGEST, passed: "nothing" }],
  ["between manifests", { method: "PUT", target: DIGEST, headers: OF_INDEX, passed: "nothing" }],
  ["between manifests and the tag", { method: "PUT", target: TAGGED, passed: "nothing" }],
  ["within the request for the tag", { method: "PUT", target: TAGGED, passed: "half" }],
];

/** The command is never told where it is. */
export const UPLOAD_OPENED: RequestMoment = { method: "POST", target: UPLOADS, passed: "all" };
/** A request that the registry has completed but the command has not yet seen answered. */
export const UNHEARD: Moments = [
  ["once an upload is opened", UPLOAD_OPENED],
  ["once a blob is finished", { method: "PUT", target: UPLOAD, passed: "all" }],
  ["once a manifest is stored", { method: "PUT", target: DIGEST, passed: "all" }],
];
export const CANCELLING: RequestMoment = { method: "DELETE", target: UPLOAD, passed: "nothing" };
export const TAG_STORED: RequestMoment = { method: "PUT", target: TAGGED, passed: "all" };

/** Digests by tags, of one repository. */
export type Tags = Readonly<Record<string, string>>;

export interface InterruptedPush {
  outcome: Outcome;
  before: Tags;
  after: Tags;
  /** Uploads that the command knows, and has neither finished nor tried to cancel. */
  forgotten: readonly string[];
  /** Those with a request that broke off. */
  broken: readonly string[];
  /** All that the registry has. */
  uploads: readonly string[];
  /** Runs the same command once more, which has to work. */
  again: () => Promise<void>;
}

export interface Interruption {
  moment: RequestMoment;
  signal: NodeJS.Signals;
  /** When the signal comes once more. */
  insist?: RequestMoment;
}

/** Runs a command up to a moment, and sends it a signal then. */
export async function interruptPush(
  place: Place,
  images: Images,
  push: Push,
  { moment, signal, insist }: Interruption,
): Promise<InterruptedPush> {
  for (const [name, image] of Object.entries(push.there)) {
    await pushImage(repositoryOf(place, name), TAG, images[image]);
  }
  const before = await readTags(place, push);
  const proxy = await holdingProxy(place.host);
  const held = proxy.hold(moment);
  const { args, env } = await commandLine(place, images, push, proxy);
  const command = await reached(start(args, { env }), held);
  const second = insist && proxy.hold(insist);
  const ended = command.interrupt(signal);
  if (second !== undefined) {
    await Promise.race([second, ended]);
    void command.interrupt(signal);
  }
  const outcome = await ended;
  await proxy.idle();
  const forgotten = proxy.openUploads();
  return {
    ...{ outcome, before, forgotten },
    broken: proxy.brokenUploads(),
    after: await readTags(place, push),
    uploads: place.uploads(push.repository),
    again: async () => {
      proxy.release();
      expect(await run(args, { env })).toMatchObject({ status: 0 });
      expect(proxy.openUploads()).toEqual(forgotten);
      const tags = await readTags(place, push);
      expect(Object.keys(tags)).toEqual([TAG]);
      const digest = push.isPlain ? tags[TAG] : await decryptedDigest(place, push);
      expect(digest).toBe(images.plainDigest);
    },
  };
}

async function commandLine(
  { prefix, directory }: Place,
  images: Images,
  { args }: Push,
  { host }: HoldingProxy,
): Promise<{ args: readonly string[]; env: Record<string, string> }> {
  // Not those of whoever runs the tests.
  const credentials = join(directory(), "auth.json");
  await writeFile(credentials, "{}");
  const at = (repository: string): string => `docker://${host}/${prefix}${repository}:${TAG}`;
  return { args: args(at, images), env: { REGISTRY_AUTH_FILE: credentials } };
}

function repositoryOf({ host, prefix }: Place, name: string): { host: string; repository: string } {
  return { host, repository: `${prefix}${name}` };
}

/** The images of all tags, which have to be whole. */
async function readTags(place: Place, { repository }: Push): Promise<Tags> {
  const tags: Record<string, string> = {};
  for (const tag of await place.tags(repository)) {
    tags[tag] = await wholeImage(repositoryOf(place, repository), tag);
  }
  return tags;
}

async function decryptedDigest(place: Place, { repository }: Push): Promise<string> {
  const reference = { ...repositoryOf(place, repository), tag: TAG };
  const source = registrySource(reference, { credentials: () => Promise.resolve(undefined) });
  const destination = await layoutDestination({ path: join(place.directory(), "decrypted") });
  const keys = [jwe.key(await readFile(`${KEYS}ec-p256.pem`))];
  return (await decryptImage(source, destination, { keys })).image.digest;
}
