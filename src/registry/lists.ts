import { isOcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import { MAX_REFERRERS_SIZE, MAX_TAGS_SIZE } from "../spec/limits.js";
import { parseDocument } from "../spec/manifest.js";
import { MEDIA_TYPE_INDEX } from "../spec/media-types.js";
import { ANY, asObject, parseJson, struct } from "../text/json.js";
import { registryClient, type RegistryClient, type RegistryRequest } from "./client.js";
import type { Answer } from "../http/transport.js";
import { failure, invalidAnswer } from "./failure.js";
import { GENERIC_TYPES, getManifest, mediaTypeIn } from "./manifest.js";
import type { RegistryOptions } from "./options.js";
import { isTag, type RegistryReference } from "./reference.js";

const MAX_PAGES = 21;

export interface ReferrersOptions extends RegistryOptions {
  signal?: AbortSignal | undefined;
}

/**
 * Lists the artifacts that refer to a manifest, such as signatures and software bills of materials.
 * They belong to one digest, and are not copied when an image is encrypted or decrypted.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
 *
 * @param digest the digest of the manifest
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, `DESCRIPTOR_INVALID`, `MANIFEST_INVALID`,
 *   `MANIFEST_TOO_LARGE`, `REGISTRY_UNREACHABLE`, `REGISTRY_DENIED`, `REGISTRY_FAILED`,
 *   `REGISTRY_INVALID_RESPONSE`, `CREDENTIALS_INVALID`
 */
export async function listReferrers(
  reference: RegistryReference,
  digest: string,
  { signal, ...options }: ReferrersOptions = {},
): Promise<Descriptor[]> {
  return readReferrers(registryClient(reference, options), digest, signal);
}

/** The same as {@link listReferrers}, with an existing client. */
export async function readReferrers(
  client: RegistryClient,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Descriptor[]> {
  const { algorithm, hex } = parseDigest(digest);
  const found: Descriptor[] = [];
  const list = {
    ...{ what: "referrers", path: `referrers/${digest}`, accept: MEDIA_TYPE_INDEX },
    ...{ maxSize: MAX_REFERRERS_SIZE, maxPages: MAX_PAGES, staysHere: true },
  };
  for await (const { request, answer, number } of pagesOf(client, list, signal)) {
    // Registries without this API have a tag instead, whose length is limited.
    if (number === 1 && !hasReferrers(answer)) {
      return readTag(client, `${algorithm}-${hex.slice(0, 64)}`, signal);
    }
    if (answer.status !== 200) throw failure(request, answer);
    if (!isIndex(answer)) throw invalidAnswer(request, "it is not an index");
    found.push(...entries(answer.bytes));
  }
  return found;
}

/**
 * Whether a registry has this API. Those without it answer 404 as specified, 400 or 405, 406
 * (https://github.com/google/go-containerregistry/issues/1962), or redirect to another host, as
 * GitHub's does (https://github.com/artifacthub/hub/issues/4785), or send a page for people.
 */
function hasReferrers(answer: Answer): boolean {
  const { status } = answer;
  if (status === 200) return isIndex(answer);
  return status > 400 && ![404, 405, 406, 501].includes(status);
}

/** Some versions of Harbor send no type of their own: https://github.com/goharbor/harbor/issues/19690 */
function isIndex({ headers, bytes }: Answer): boolean {
  const type = mediaTypeIn(headers);
  if (type === MEDIA_TYPE_INDEX) return true;
  const start = Buffer.from(bytes.subarray(0, 64)).toString();
  return GENERIC_TYPES.includes(type) && /^\s*\{/.test(start);
}

async function readTag(
  client: RegistryClient,
  tag: string,
  signal: AbortSignal | undefined,
): Promise<Descriptor[]> {
  try {
    const { mediaType, bytes } = await getManifest(client, tag, "IMAGE_NOT_FOUND", signal);
    return mediaType === MEDIA_TYPE_INDEX ? entries(bytes) : [];
  } catch (error) {
    if (isOcicryptError(error, "IMAGE_NOT_FOUND")) return [];
    throw error;
  }
}

function entries(bytes: Uint8Array): Descriptor[] {
  const document = parseDocument(bytes, MEDIA_TYPE_INDEX);
  return document.kind === "index" ? document.manifests.map(({ descriptor }) => descriptor) : [];
}

interface List {
  /** The entries, for messages. */
  what: string;
  /** The first page, as a path below the repository. */
  path: string;
  accept: string;
  /** The limit in bytes for all pages together. */
  maxSize: number;
  maxPages: number;
  /** Whether a redirect to another origin is an answer, and not followed. */
  staysHere?: boolean;
}

interface Page {
  request: RegistryRequest;
  answer: Answer;
  /** From 1. */
  number: number;
  isLast: boolean;
}

/**
 * Reads a list page by page (https://www.rfc-editor.org/rfc/rfc8288.html). The caller checks the
 * status of each page before it asks for the next one.
 *
 * @throws {@link OcicryptError} `REGISTRY_INVALID_RESPONSE` if a page names a next page that is not
 *   on the same origin, or if the list exceeds a limit
 */
async function* pagesOf(
  client: RegistryClient,
  { what, path, accept, maxSize, maxPages, staysHere = false }: List,
  signal: AbortSignal | undefined,
): AsyncGenerator<Page, void, undefined> {
  let budget = maxSize;
  let url = await client.url(path);
  for (let number = 1; ; number++) {
    const request = { method: "GET" as const, url, headers: { accept }, signal, staysHere };
    const answer = await client.request(request, budget);
    if (answer.status === 200 && answer.isCut) {
      throw invalidAnswer(request, `the list of ${what} is larger than ${String(maxSize)} bytes`);
    }
    budget -= answer.bytes.byteLength;
    const target = nextPage(answer);
    yield { request, answer, number, isLast: target === undefined };
    if (target === undefined) return;
    const next = client.resolve(target, url);
    if (next?.origin !== url.origin) {
      throw invalidAnswer(request, "its next page is at a URL that is not safe to use");
    }
    if (number === maxPages || budget === 0) {
      throw invalidAnswer(request, `the list of ${what} does not end`);
    }
    url = next;
  }
}

/** Returns the target of a link to the next page; it is empty if the link names none. */
function nextPage({ headers }: Pick<Answer, "headers">): string | undefined {
  const link = headers.get("link") ?? "";
  if (!/;\s*rel="?next"?/i.test(link)) return undefined;
  return /<([^<>]*)>[^<>]*;\s*rel="?next"?/i.exec(link)?.[1] ?? "";
}

export interface TagsOptions extends RegistryOptions {
  signal?: AbortSignal | undefined;
}

/** The smallest pages of registries have 100 tags. */
const MAX_TAG_PAGES = 10_000;

/**
 * Lists the tags of a repository, in the order of the registry. A list in several pages is read to
 * its end, as long as each page is on the same host and has new tags.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags
 *
 * @param repository the repository; its tag and digest are ignored
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, `IMAGE_NOT_FOUND` for a repository that does
 *   not exist, `REGISTRY_UNREACHABLE`, `REGISTRY_DENIED`, `REGISTRY_FAILED`,
 *   `REGISTRY_INVALID_RESPONSE`, `CREDENTIALS_INVALID`
 */
export async function listTags(
  repository: RegistryReference,
  { signal, ...options }: TagsOptions = {},
): Promise<string[]> {
  const client = registryClient(repository, options);
  const tags = new Set<string>();
  const list = {
    ...{ what: "tags", path: "tags/list", accept: "application/json" },
    ...{ maxSize: MAX_TAGS_SIZE, maxPages: MAX_TAG_PAGES },
  };
  for await (const { request, answer, isLast } of pagesOf(client, list, signal)) {
    const refuse = (why: string): Error => invalidAnswer(request, why);
    if (answer.status !== 200) throw failure(request, answer, { 404: "IMAGE_NOT_FOUND" });
    const before = tags.size;
    for (const tag of readPage(answer.bytes, refuse)) tags.add(tag);
    if (tags.size === before && !isLast) throw refuse("the list of tags does not end");
  }
  return [...tags];
}

const TAGS = /* @__PURE__ */ struct({ name: ANY, tags: ANY });

function readPage(bytes: Uint8Array, refuse: (why: string) => Error): string[] {
  const document = asObject(parseJson(bytes, { shape: TAGS, maxSize: MAX_TAGS_SIZE, refuse }));
  if (document === undefined) throw refuse("it is not a list of tags");
  // A repository whose tags were all deleted has null.
  const tags = document.tags ?? [];
  if (!Array.isArray(tags)) throw refuse("it is not a list of tags");
  return tags.map((tag: unknown) => {
    if (typeof tag === "string" && isTag(tag)) return tag;
    throw refuse("one of its tags is not valid");
  });
}
