import { OcicryptError } from "../errors.js";
import { abortable } from "../io/abort.js";
import { isBusy, retryAfter } from "./backoff.js";
import type { RegistryClient, RegistryRequest } from "./client.js";
import type { Answer } from "./exchange.js";
import { failure, invalidAnswer, isTransient } from "./failure.js";

export interface UploadOptions {
  /** In bytes. */
  chunkSize: number;
  scopes: readonly string[];
  signal: AbortSignal | undefined;
}

/** A blob on its way into a registry. */
export interface Upload {
  write(bytes: Uint8Array): Promise<void>;
  /** Makes it a blob of the repository. */
  finish(digest: string): Promise<void>;
  /** Lets the registry forget it; never fails. */
  cancel(): Promise<void>;
}

/** A registry may copy the whole blob once more, or hash it, before it answers the last request. */
const FINISH_PATIENCE = 10;
/** Milliseconds; nobody waits long for what only tidies up. */
const CANCEL_TIMEOUT = 5000;
/** Milliseconds for a chunk that is on its way when an upload is cancelled. */
const CANCEL_PATIENCE = 1000;
/** The most that a registry can make this client hold in memory, in bytes. */
const MAX_CHUNK_SIZE = 256 * 1024 * 1024;

/**
 * Opens an upload in chunks
 * (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks).
 * A chunk stays in memory until the registry has it, so that it can be sent again.
 */
export async function openUpload(
  client: RegistryClient,
  { chunkSize, scopes, signal }: UploadOptions,
): Promise<Upload> {
  const { minimum, ...first } = await start();
  let { location } = first;
  /** What a chunk was begun with: the registry has all bytes before it for sure. */
  let base = 0;
  let filled = 0;
  const chunk = new Uint8Array(Math.max(chunkSize, minimum));
  let sending: Promise<unknown> = Promise.resolve();
  const patience = new AbortController();

  async function start(): Promise<{ location: URL; minimum: number }> {
    const url = await client.url("blobs/uploads/");
    const request: RegistryRequest = { method: "POST", url, scopes, signal };
    const answer = await client.request(request);
    if (answer.status !== 202) throw failure(request, answer);
    const next = placeOf(request, answer.headers.get("location"));
    const minimumText = answer.headers.get("oci-chunk-min-length") ?? "0";
    const minimum = /^\d{1,15}$/.test(minimumText) ? Number(minimumText) : NaN;
    if (!(minimum <= MAX_CHUNK_SIZE)) throw invalidAnswer(request, "it asks for chunks too large");
    return { location: next, minimum };
  }

  function follow(request: RegistryRequest, answer: Answer): void {
    const text = answer.headers.get("location");
    if (text !== null) location = placeOf(request, text);
  }

  function placeOf(request: RegistryRequest, text: string | null): URL {
    const place = client.resolve(text, request.url);
    if (place !== undefined) return place;
    throw invalidAnswer(request, "it names no place that is safe to send to");
  }

  /** Sends what is in the chunk, as often as it needs. */
  async function flush(): Promise<void> {
    const end = base + filled;
    let pauses = client.backoff();
    let from = base;
    while (from < end) {
      signal?.throwIfAborted();
      const range = `${String(from)}-${String(end - 1)}`;
      const request: RegistryRequest = {
        method: "PATCH",
        url: location,
        headers: { "content-type": "application/octet-stream", "content-range": range },
        body: chunk.subarray(from - base, filled),
        scopes,
        signal: patience.signal,
      };
      let there: number | undefined;
      try {
        const answer = await abortable((sending = send(request)), signal);
        const isAgain = isBusy(answer.status) || answer.status === 416;
        if (answer.status === 202) {
          const received = receivedBytes(request, answer, end) ?? end;
          if (received === end) break;
          // zot tells of this chunk only, so less need not mean that anything is missing.
          there = await resume(end);
          if (there === end) break;
          if (there - from >= (end - from) / 2) pauses = client.backoff();
        } else if (!isAgain) {
          throw answer.status === 404 ? lost(request, answer) : failure(request, answer);
        }
        const refused =
          there === undefined
            ? failure(request, answer)
            : invalidAnswer(request, "it took a part only of what it was sent");
        const asked = retryAfter(answer.headers);
        if (!(await pauses.again(refused.message, signal, asked))) throw refused;
      } catch (error) {
        if (!isTransient(error) || !(await pauses.again(error.message, signal))) throw error;
      }
      from = there ?? (await resume(end));
    }
    base = end;
    filled = 0;
  }

  /** Sends a chunk, which goes on for a while when nobody waits for it any more. */
  async function send(request: RegistryRequest): Promise<Answer> {
    const answer = await client.requestOnce(request);
    if (answer.status === 202) follow(request, answer);
    return answer;
  }

  /** Asks how much of the chunk has arrived. */
  async function resume(end: number): Promise<number> {
    const request: RegistryRequest = { method: "GET", url: location, scopes, signal };
    const answer = await client.request(request);
    const isKnown = answer.status === 204;
    const received = isKnown ? receivedBytes(request, answer, end) : undefined;
    if (isKnown) follow(request, answer);
    // Of an empty upload registries say "0-0", as of one with a single byte.
    const isClear = received !== undefined && !(base === 0 && received === 1);
    if (isClear && received >= base) return received;
    // As long as all there is lies in the chunk, another upload can take its place.
    if (base > 0) throw lost(request, answer);
    await drop();
    ({ location } = await start());
    return 0;
  }

  async function drop(): Promise<void> {
    try {
      const timeout = Math.min(client.timeout, CANCEL_TIMEOUT);
      await client.requestOnce({ method: "DELETE", url: location, scopes, timeout });
    } catch {
      // Registries remove uploads that nobody goes on with.
    }
  }

  return {
    async cancel() {
      // Docker's registry lets go of an upload only by the place that the last answer named.
      await abortable(sending, AbortSignal.timeout(CANCEL_PATIENCE)).catch(() => undefined);
      patience.abort(new OcicryptError("REGISTRY_UPLOAD_LOST", "the upload was cancelled"));
      await drop();
    },
    async write(bytes) {
      for (let start = 0; start < bytes.byteLength;) {
        if (filled === chunk.byteLength) await flush();
        const part = bytes.subarray(start, start + chunk.byteLength - filled);
        chunk.set(part, filled);
        filled += part.byteLength;
        start += part.byteLength;
      }
    },
    async finish(digest) {
      await flush();
      // As text, since parsing it into parameters and back would not keep every byte of a state.
      const url = new URL(location);
      url.search += `${url.search === "" ? "?" : "&"}digest=${encodeURIComponent(digest)}`;
      const timeout = client.timeout * FINISH_PATIENCE;
      const request: RegistryRequest = { method: "PUT", url, scopes, timeout, signal };
      const answer = await client.request(request);
      if (answer.status === 201) return;
      // An answer that got lost: the first request has done it, the second one found nothing to do.
      if (answer.status !== 404) throw failure(request, answer);
      if (!(await isBlob(client, digest, base, scopes, signal))) throw lost(request, answer);
    },
  };
}

/**
 * Why an upload can not go on. Docker's registry refuses any state of an upload but that of its
 * last chunk, with which it has got more by a chunk that broke off; zot drops such an upload.
 */
function lost(request: RegistryRequest, answer: Answer): OcicryptError {
  const isKnown = answer.status === 204;
  const why = isKnown ? invalidAnswer(request, "it has lost bytes") : failure(request, answer);
  if (!isKnown && ![400, 404, 416].includes(answer.status)) return why;
  const message = `the registry has lost what it had of an upload: ${why.message}`;
  return new OcicryptError("REGISTRY_UPLOAD_LOST", message, { cause: why });
}

/**
 * Whether a repository has a blob of a digest and size.
 *
 * @throws {@link OcicryptError} those of a registry
 */
export async function isBlob(
  client: RegistryClient,
  digest: string,
  size: number,
  scopes: readonly string[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const request: RegistryRequest = {
    method: "HEAD",
    url: await client.url(`blobs/${digest}`),
    headers: { "accept-encoding": "identity" },
    scopes,
    signal,
  };
  const answer = await client.request(request);
  if (answer.status === 404) return false;
  if (answer.status !== 200) throw failure(request, answer);
  return answer.headers.get("content-length") === String(size);
}

/**
 * How many bytes a registry says that it has, of those up to `end`.
 *
 * @throws {@link OcicryptError} `REGISTRY_INVALID_RESPONSE`
 */
function receivedBytes(request: RegistryRequest, answer: Answer, end: number): number | undefined {
  const range = answer.headers.get("range");
  if (range === null) return undefined;
  const last = /^(?:bytes=)?0-(\d{1,16})$/.exec(range)?.[1];
  const received = Number(last) + 1;
  if (last === undefined || received > end) {
    throw invalidAnswer(request, "it has bytes that were not sent");
  }
  return received;
}
