import { OcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import { isSuccess, type RegistryClient, type RegistryRequest } from "./client.js";
import type { HttpRequest, OpenAnswer } from "../http/transport.js";
import { failure, invalidAnswer, isTransient } from "./failure.js";

/**
 * Whether a repository has a blob with this digest and size. It sends a `HEAD` request, and unless
 * the answer is no, a `GET` request for one byte: Artifactory and others say yes to `HEAD` requests
 * for blobs that they do not serve (https://github.com/gardener/cc-utils/pull/1752,
 * https://github.com/opencontainers/distribution-spec/issues/569).
 *
 * @throws {@link OcicryptError} the errors of a registry
 */
export async function isBlob(
  client: RegistryClient,
  digest: string,
  size: number,
  scopes: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const url = await client.url(`blobs/${digest}`);
  const headers = { "accept-encoding": "identity" };
  const head: RegistryRequest = { method: "HEAD", url, headers, scopes, signal };
  const answer = await client.request(head);
  if (answer.status === 404) return false;
  const length = answer.headers.get("content-length");
  const isThere = isSuccess(answer.status) && length !== null;
  if (isThere && length !== String(size)) return false;
  if (!isSuccess(answer.status) && ![400, 403, 405, 501].includes(answer.status)) {
    throw failure(head, answer);
  }
  const ranged = { ...headers, range: "bytes=0-0" };
  const get: RegistryRequest = { method: "GET", url, headers: ranged, scopes, signal };
  // A redirect to storage is answer enough, because the storage need not be reachable for a push.
  const byte = await client.request({ ...get, staysHere: isThere }, 1);
  if (byte.status === 404) return false;
  // Whoever may write need not be allowed to read.
  if (isThere) return true;
  // Empty content has no range.
  if (byte.status === 416) return size === 0;
  if (!isSuccess(byte.status)) throw failure(get, byte);
  const total = /\/(\d{1,16})$/.exec(byte.headers.get("content-range") ?? "")?.[1];
  return (total ?? byte.headers.get("content-length")) === String(size);
}

/** After this many new bytes, failures are counted from zero again. */
const PROGRESS = 1024 * 1024;

/**
 * Downloads a blob, without verifying it. If a connection breaks, another one resumes the download.
 *
 * @throws {@link OcicryptError} `BLOB_NOT_FOUND`, `REGISTRY_INVALID_RESPONSE`, and the other errors
 *   of a registry
 */
export async function* downloadBlob(
  client: RegistryClient,
  { digest, size }: Descriptor,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { algorithm, hex } = parseDigest(digest);
  const url = await client.url(`blobs/${algorithm}:${hex}`);
  let offset = 0;
  let pauses = client.backoff();
  let renewal = PROGRESS;
  for (;;) {
    const headers = {
      "accept-encoding": "identity",
      ...(offset > 0 && { range: `bytes=${String(offset)}-` }),
    };
    const request = { method: "GET" as const, url, headers, signal };
    const answer = await client.open(request, {
      404: "BLOB_NOT_FOUND",
      416: "REGISTRY_INVALID_RESPONSE",
    });
    let skip = offset - startOf(request, answer, offset, size);
    try {
      for await (const chunk of answer.body) {
        const fresh = chunk.subarray(Math.min(skip, chunk.byteLength));
        skip -= chunk.byteLength - fresh.byteLength;
        if (fresh.byteLength === 0) continue;
        offset += fresh.byteLength;
        if (offset > size) throw tooMuch(digest, size);
        yield fresh;
      }
      return;
    } catch (error) {
      if (offset === size && isTransient(error)) return;
      if (offset >= renewal) {
        pauses = client.backoff();
        renewal = offset + PROGRESS;
      }
      if (!isTransient(error) || !(await pauses.again(error.message, signal))) throw error;
    }
  }
}

/**
 * Returns the offset at which an answer starts; a registry without support for ranges starts at 0.
 */
function startOf(request: HttpRequest, answer: OpenAnswer, offset: number, size: number): number {
  if (answer.status === 200) return 0;
  const range = /^bytes (\d{1,16})-(\d{1,16})\/(?:(\d{1,16})|\*)$/.exec(
    answer.headers.get("content-range") ?? "",
  );
  const [start, end, total] = [range?.[1], range?.[2], range?.[3] ?? size].map(Number);
  const isRest = start === offset && end === size - 1 && total === size;
  if (answer.status === 206 && offset > 0 && isRest) return offset;
  answer.close();
  throw invalidAnswer(request, "it is not the requested part of the blob");
}

function tooMuch(digest: string, size: number): OcicryptError {
  const message = `the descriptor of ${digest} says ${String(size)} bytes, but the registry sent more`;
  return new OcicryptError("BLOB_SIZE_MISMATCH", message);
}
