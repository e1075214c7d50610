import { isOcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import { MAX_REFERRERS_SIZE, MAX_TAGS_SIZE } from "../spec/limits.js";
import { parseDocument } from "../spec/manifest.js";
import { MEDIA_TYPE_INDEX } from "../spec/media-types.js";
import { asObject, parseJson } from "../text/json.js";
import { registryClient, type RegistryClient } from "./client.js";
import type { Answer } from "./transport.js";
import { failure, invalidAnswer } from "./failure.js";
import { getManifest } from "./manifest.js";
import type { RegistryOptions } from "./options.js";
import { isTag, type RegistryReference } from "./reference.js";

const MAX_PAGES = 20;

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
  let budget = MAX_REFERRERS_SIZE;
  let url: URL | undefined = await client.url(`referrers/${digest}`);
  for (let page = 0; url !== undefined; page++) {
    const request = { method: "GET" as const, url, headers: { accept: MEDIA_TYPE_INDEX }, signal };
    const answer = await client.request(request, budget);
    // Registries without this API have a tag instead, whose length is limited.
    if (answer.status === 404 && page === 0) {
      return readTag(client, `${algorithm}-${hex.slice(0, 64)}`, signal);
    }
    if (answer.status !== 200) throw failure(request, answer);
    const type = answer.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
    if (type !== MEDIA_TYPE_INDEX) throw invalidAnswer(request, "it is not an index");
    if (answer.isCut) {
      const limit = String(MAX_REFERRERS_SIZE);
      throw invalidAnswer(request, `the list of referrers is larger than ${limit} bytes`);
    }
    budget -= answer.bytes.byteLength;
    found.push(...entries(answer.bytes));
    if (page === MAX_PAGES) throw invalidAnswer(request, "the list has too many pages");
    url = nextPage(client, answer, url);
  }
  return found;
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

/** Returns the URL of the next page of a list: https://www.rfc-editor.org/rfc/rfc8288.html */
export function nextPage(
  client: Pick<RegistryClient, "resolve">,
  { headers }: Pick<Answer, "headers">,
  url: URL,
): URL | undefined {
  const link = /<([^<>]*)>[^<>]*;\s*rel="?next"?/i.exec(headers.get("link") ?? "")?.[1];
  return link === undefined ? undefined : client.resolve(link, url);
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
  let budget = MAX_TAGS_SIZE;
  const first = await client.url("tags/list");
  let url = first;
  for (let page = 1; ; page++) {
    const request = {
      method: "GET" as const,
      url,
      headers: { accept: "application/json" },
      signal,
    };
    const refuse = (why: string): Error => invalidAnswer(request, why);
    if (url.origin !== first.origin) throw refuse("its next page is on another host");
    const answer = await client.request(request, budget);
    if (answer.status !== 200) throw failure(request, answer, { 404: "IMAGE_NOT_FOUND" });
    if (answer.isCut) throw refuse("the list of tags is too large");
    budget -= answer.bytes.byteLength;
    const before = tags.size;
    for (const tag of readPage(answer.bytes, refuse)) tags.add(tag);
    const next = nextPage(client, answer, url);
    if (next === undefined) {
      if (!/;\s*rel="?next"?/i.test(answer.headers.get("link") ?? "")) return [...tags];
      throw refuse("its next page is at a URL that is not safe to use");
    }
    if (tags.size === before || page === MAX_TAG_PAGES || budget === 0) {
      throw refuse("the list of tags does not end");
    }
    url = next;
  }
}

function readPage(bytes: Uint8Array, refuse: (why: string) => Error): string[] {
  const document = asObject(parseJson(bytes, { maxSize: MAX_TAGS_SIZE, refuse }));
  if (document === undefined) throw refuse("it is not a list of tags");
  // A repository whose tags were all deleted has null.
  const tags = document.tags ?? [];
  if (!Array.isArray(tags)) throw refuse("it is not a list of tags");
  return tags.map((tag: unknown) => {
    if (typeof tag === "string" && isTag(tag)) return tag;
    throw refuse("one of its tags is not valid");
  });
}
