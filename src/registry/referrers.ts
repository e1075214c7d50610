import { isOcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import { MAX_REFERRERS_SIZE } from "../spec/limits.js";
import { parseDocument } from "../spec/manifest.js";
import { MEDIA_TYPE_INDEX } from "../spec/media-types.js";
import { registryClient, type RegistryClient } from "./client.js";
import type { Answer } from "./transport.js";
import { failure, invalidAnswer } from "./failure.js";
import { getManifest } from "./manifest.js";
import type { RegistryOptions } from "./options.js";
import type { RegistryReference } from "./reference.js";

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
