import { MAX_TAGS_SIZE } from "../spec/limits.js";
import { asObject, parseJson } from "../text/json.js";
import { registryClient } from "./client.js";
import { failure, invalidAnswer } from "./failure.js";
import type { RegistryOptions } from "./options.js";
import { isTag, type RegistryReference } from "./reference.js";
import { nextPage } from "./referrers.js";

export interface TagsOptions extends RegistryOptions {
  signal?: AbortSignal | undefined;
}

/** The smallest pages of registries have 100 tags. */
const MAX_PAGES = 10_000;

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
    if (tags.size === before || page === MAX_PAGES || budget === 0) {
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
