import { createHash } from "node:crypto";
import { OcicryptError, shown, type ErrorCode } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../spec/limits.js";
import { DOCUMENT_TYPES, MEDIA_TYPE_INDEX, MEDIA_TYPE_MANIFEST } from "../spec/media-types.js";
import { asObject, parseJson } from "../text/json.js";
import { isSuccess, type RegistryClient } from "./client.js";
import type { Answer, HttpRequest } from "../http/transport.js";
import { failure, invalidAnswer } from "./failure.js";

export interface StoredManifest {
  mediaType: string;
  digest: string;
  bytes: Uint8Array;
  /** The strong entity tag of the answer, in quotes (RFC 9110 section 8.8.3). */
  etag?: string | undefined;
}

/**
 * Gets a manifest or index by its tag or digest. A digest is verified.
 *
 * @param absent the error code if it does not exist
 * @param expected its media type, if it is known; another type is then rejected
 * @throws {@link OcicryptError} `absent`, `MANIFEST_TOO_LARGE`, `BLOB_DIGEST_MISMATCH`,
 *   `REGISTRY_INVALID_RESPONSE`, and the other errors of a registry
 */
export async function getManifest(
  client: RegistryClient,
  name: string,
  absent: ErrorCode,
  signal: AbortSignal | undefined,
  expected?: string,
): Promise<StoredManifest> {
  const url = await client.url(`manifests/${name}`);
  const accepted = expected === undefined ? DOCUMENT_TYPES : [expected];
  const request = {
    method: "GET" as const,
    url,
    headers: { accept: accepted.join(", "), "accept-encoding": "identity" },
    signal,
  };
  const answer = await client.request(request, MAX_MANIFEST_SIZE);
  if (answer.status !== 200) throw failure(request, answer, { 404: absent });
  if (answer.isCut) {
    const limit = String(MAX_MANIFEST_SIZE);
    throw new OcicryptError(
      "MANIFEST_TOO_LARGE",
      `the manifest ${name} is larger than ${limit} bytes`,
    );
  }
  const mediaType = typeOf(request, answer);
  if (!accepted.some((type) => type.toLowerCase() === mediaType)) {
    const wanted = expected ?? "that of a manifest or index";
    throw invalidAnswer(request, `its type is ${shown(mediaType)}, not ${wanted}`);
  }
  const { bytes } = answer;
  requireSame(serverDigest(request, answer), bytes);
  if (!name.includes(":")) {
    return { mediaType, digest: digestOf(bytes, "sha256"), bytes, etag: strongTag(answer) };
  }
  requireSame(name, bytes);
  return { mediaType: expected ?? mediaType, digest: name, bytes };
}

/**
 * Stores a manifest or index under its tag or digest.
 *
 * @param etag the entity tag of the manifest that it replaces. A registry that compares it rejects
 *   the request if it has another manifest.
 * @throws {@link OcicryptError} `MANIFEST_TOO_LARGE`, `DESTINATION_CHANGED` for another `etag`,
 *   `REGISTRY_INVALID_RESPONSE`, and the other errors of a registry
 */
export async function putManifest(
  client: RegistryClient,
  name: string,
  { mediaType, bytes }: Pick<StoredManifest, "mediaType" | "bytes">,
  scopes: readonly string[],
  signal: AbortSignal | undefined,
  etag?: string,
): Promise<void> {
  const request = {
    method: "PUT" as const,
    url: await client.url(`manifests/${name}`),
    headers: { "content-type": mediaType, ...(etag !== undefined && { "if-match": etag }) },
    body: new Uint8Array(bytes),
    scopes,
    signal,
  };
  const answer = await client.request(request);
  if (!isSuccess(answer.status)) {
    throw failure(request, answer, {
      413: "MANIFEST_TOO_LARGE",
      ...(etag !== undefined && { 412: "DESTINATION_CHANGED" }),
    });
  }
  const digest = serverDigest(request, answer);
  if (digest !== undefined && digestOf(bytes, parseDigest(digest).algorithm) !== digest) {
    throw invalidAnswer(request, "the registry stored other content than it was sent");
  }
}

/** A weak tag never matches in `If-Match` (RFC 9110 section 13.1.1). */
function strongTag({ headers }: Answer): string | undefined {
  const etag = headers.get("etag") ?? "";
  return /^"[\x21\x23-\x7e]{1,200}"$/.test(etag) ? etag : undefined;
}

/** Generic types, which say nothing about a document. */
export const GENERIC_TYPES: readonly string[] = [
  "",
  "application/json",
  "application/octet-stream",
  "text/plain",
];

/**
 * Returns the media type of a manifest: the type of the answer without parameters or, if a server
 * sends a generic type, the document's own `mediaType`. Without that, the type is recognised by the
 * document's members, as in skopeo
 * (https://github.com/containers/image/blob/main/manifest/manifest.go).
 *
 * @throws {@link OcicryptError} `REGISTRY_INVALID_RESPONSE` for a document that is not JSON
 */
function typeOf(request: HttpRequest, { headers, bytes }: Answer): string {
  const sent = mediaTypeIn(headers);
  if (!GENERIC_TYPES.includes(sent)) return sent;
  const refuse = (why: string): Error => invalidAnswer(request, why);
  const document = asObject(parseJson(bytes, { maxSize: MAX_MANIFEST_SIZE, refuse }));
  if (typeof document?.mediaType === "string") return document.mediaType.toLowerCase();
  if (Array.isArray(document?.manifests)) return MEDIA_TYPE_INDEX;
  return Array.isArray(document?.layers) ? MEDIA_TYPE_MANIFEST : sent;
}

/** Returns the type of an answer in lower case, without parameters; empty if it has none. */
export function mediaTypeIn(headers: Answer["headers"]): string {
  return (headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** Returns the digest that the registry reports. Nothing depends on it, but it must be correct. */
function serverDigest(request: HttpRequest, { headers }: Answer): string | undefined {
  const digest = headers.get("docker-content-digest");
  if (digest === null) return undefined;
  try {
    parseDigest(digest);
  } catch {
    throw invalidAnswer(request, "its Docker-Content-Digest is not a digest");
  }
  return digest;
}

function requireSame(digest: string | undefined, bytes: Uint8Array): void {
  if (digest === undefined) return;
  const actual = digestOf(bytes, parseDigest(digest).algorithm);
  if (actual === digest) return;
  const message = `the manifest has the digest ${actual} instead of ${digest}`;
  throw new OcicryptError("BLOB_DIGEST_MISMATCH", message);
}

function digestOf(bytes: Uint8Array, algorithm: string): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}
