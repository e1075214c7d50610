import { OcicryptError } from "../errors.js";
import { abortable } from "../io/abort.js";
import { isBusy, retryAfter } from "./backoff.js";
import { isSuccess, type RegistryClient, type RegistryRequest } from "./client.js";
import { isBlob } from "./blob.js";
import type { Answer } from "./transport.js";
import { failure, invalidAnswer, isTransient } from "./failure.js";
import { rememberShape, shapeFor, uploadWindow, type UploadWindow } from "./upload-window.js";

export interface UploadOptions {
  /** The registry's host and port. */
  host: string;
  /** Bytes in each request; one request that streams the whole content by default. */
  chunkSize: number | undefined;
  scopes: readonly string[];
  signal: AbortSignal | undefined;
}

/** A blob on its way into a registry. */
export interface Upload {
  /** Sends the content. */
  send(content: AsyncIterable<Uint8Array>): Promise<void>;
  /** Makes it a blob of the repository. */
  finish(digest: string): Promise<void>;
  /** Makes the registry forget it; never fails. */
  cancel(): Promise<void>;
}

/** In bytes. The window must contain the bytes of an interrupted stream that the registry did not take. */
const WINDOW = { size: 2 * 1024 * 1024, step: 256 * 1024 };
/** In bytes, where a registry does not take streams; ECR's minimum. */
const USUAL_CHUNK: number = 5 * 1024 * 1024;
/** The most that a registry can make this client hold in memory, in bytes. */
const MAX_CHUNK_SIZE: number = 256 * 1024 * 1024;
/** So many bytes that arrived make the number of retries start again. */
const PROGRESS: number = 1024 * 1024;
/** A registry may copy the whole blob once more, or hash it, before it answers the last request. */
const FINISH_PATIENCE = 10;
/** In milliseconds; tidying up must not delay what failed. */
const CANCEL_TIMEOUT = 5000;
/** In milliseconds, for a request that is on its way when an upload is cancelled. */
const CANCEL_PATIENCE = 1000;

/**
 * Opens an upload
 * (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs). Memory
 * holds one chunk, or the last 2 MiB of a stream, so that they can be sent again.
 */
export async function openUpload(
  client: RegistryClient,
  { host, chunkSize, scopes, signal }: UploadOptions,
): Promise<Upload> {
  const shape = shapeFor(host, chunkSize === undefined ? "stream" : "chunks");
  const isStream = shape === "stream";
  const { minimum, ...first } = await start();
  let { location } = first;
  let window: UploadWindow | undefined;
  /** The registry has all bytes before this offset for certain. */
  let confirmed = 0;
  let hasResumed = false;
  let sending: Promise<unknown> = Promise.resolve();
  const patience = new AbortController();

  async function start(): Promise<{ location: URL; minimum: number }> {
    const url = await client.url("blobs/uploads/");
    const request: RegistryRequest = { method: "POST", url, scopes, signal };
    const answer = await client.request(request);
    if (!isSuccess(answer.status)) throw failure(request, answer);
    const next = placeOf(request, answer.headers.get("location"));
    const minimumText = answer.headers.get("oci-chunk-min-length") ?? "0";
    const minimum = /^\d{1,15}$/.test(minimumText) ? Number(minimumText) : NaN;
    if (!(minimum <= MAX_CHUNK_SIZE))
      throw invalidAnswer(request, "it asks for chunks that are too large");
    return { location: next, minimum };
  }

  function follow(request: RegistryRequest, answer: Answer): void {
    const text = answer.headers.get("location");
    if (text !== null) location = placeOf(request, text);
  }

  function placeOf(request: RegistryRequest, text: string | null): URL {
    const place = client.resolve(text, request.url);
    if (place !== undefined) return place;
    throw invalidAnswer(request, "it names no URL that is safe to send to");
  }

  function requestFrom(from: number, content: UploadWindow): RegistryRequest {
    const common = { method: "PATCH" as const, url: location, scopes, signal: patience.signal };
    const headers = { "content-type": "application/octet-stream" };
    if (isStream) return { ...common, headers, body: () => streamed(from, content) };
    const range = `${String(from)}-${String(content.end - 1)}`;
    return {
      ...common,
      headers: { ...headers, "content-range": range },
      body: content.at(from),
    };
  }

  /** Sends what is kept from an offset on, then reads on. Ends early where the content fails. */
  async function* streamed(
    from: number,
    content: UploadWindow,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    if (from < content.start) {
      rememberShape(host, "chunks");
      throw lost("a redirect asks for its start again, which is not kept");
    }
    for (let offset = from; ;) {
      if (offset === content.end) await Promise.race([content.more(), content.stopped]);
      if (offset === content.end) return;
      const piece = content.at(offset);
      offset += piece.byteLength;
      // undici has passed a piece on before it takes the next; another client may keep it.
      yield client.hasOwnFetch ? piece.slice() : piece;
    }
  }

  /** Sends all that is left of the content, or the next chunk, as often as it needs. */
  async function deliver(content: UploadWindow): Promise<void> {
    let pauses = client.backoff();
    let refusedAt: number | undefined;
    for (let from = confirmed; ;) {
      signal?.throwIfAborted();
      const request = requestFrom(from, content);
      let there: number | undefined;
      try {
        const answer = await abortable((sending = sendOnce(request)), signal);
        if (content.failure !== undefined) return;
        const { end } = content;
        const isAgain = isBusy(answer.status) || (answer.status === 416 && refusedAt !== from);
        if (isSuccess(answer.status)) {
          const received = receivedBytes(request, answer, end) ?? end;
          // zot names the last chunk only, and ECR the first, so less need not mean a loss.
          if (received < end) there = await status(end);
          if ((there ?? end) === end && (content.isEnded || !isStream)) break;
          there ??= received;
          const enough = Math.min((end - from) / 2, PROGRESS);
          if (there - from >= enough) pauses = client.backoff();
        } else if (!isAgain) {
          throw refusal(request, answer);
        }
        if (answer.status === 416) refusedAt = from;
        const refused =
          there === undefined
            ? failure(request, answer)
            : invalidAnswer(request, "it accepted only a part of the data");
        const asked = retryAfter(answer.headers);
        if (!(await pauses.again(refused.message, signal, asked))) throw refused;
      } catch (error) {
        if (!isTransient(error) || !(await pauses.again(error.message, signal))) throw error;
      }
      const before = from;
      from = there ?? (await resume(content));
      if (from - before >= PROGRESS) pauses = client.backoff();
      hasResumed = true;
      // All has arrived, and only the answer was lost.
      if (from === content.end && (content.isEnded || !isStream)) break;
    }
    confirmed = content.end;
  }

  /** Sends a request, which may go on for a while after nobody waits for it any more. */
  async function sendOnce(request: RegistryRequest): Promise<Answer> {
    const answer = await client.requestOnce(request);
    if (isSuccess(answer.status)) follow(request, answer);
    return answer;
  }

  /** Makes an error of a refused request; another shape of request may be what helps. */
  function refusal(request: RegistryRequest, answer: Answer): OcicryptError {
    const why = failure(request, answer);
    // A chunk of a size that suits nobody is refused at once, all other chunks from the second on.
    const isShape = isStream
      ? [411, 413, 501].includes(answer.status)
      : [413, 416].includes(answer.status) ||
        (confirmed > 0 && [400, 405, 409, 411, 415, 422, 501].includes(answer.status));
    if (isShape) rememberShape(host, isStream ? "chunks" : "stream");
    return isShape || answer.status === 404 ? lost(why.message, why) : why;
  }

  /** Asks how much has arrived; `undefined` where the registry does not say. */
  async function status(end: number): Promise<number | undefined> {
    const request: RegistryRequest = { method: "GET", url: location, scopes, signal };
    const answer = await client.request(request);
    if (!isSuccess(answer.status)) return undefined;
    const received = receivedBytes(request, answer, end);
    follow(request, answer);
    return received;
  }

  /** Finds out where to go on: at what has arrived, or in another upload while all is kept. */
  async function resume(content: UploadWindow): Promise<number> {
    const request: RegistryRequest = { method: "GET", url: location, scopes, signal };
    const answer = await client.request(request);
    const isKnown = isSuccess(answer.status);
    const received = isKnown ? receivedBytes(request, answer, content.end) : undefined;
    if (isKnown) follow(request, answer);
    // Of an empty upload registries say "0-0", as of one with a single byte.
    const isClear = received !== undefined && !(confirmed === 0 && received === 1);
    if (isClear && received >= confirmed && received >= content.start) return received;
    if (content.start > 0) {
      if (isKnown) throw lost("the registry lost a part of it");
      const why = failure(request, answer);
      throw [400, 404, 405, 416].includes(answer.status) ? lost(why.message, why) : why;
    }
    await drop();
    ({ location } = await start());
    return (confirmed = 0);
  }

  async function drop(): Promise<void> {
    try {
      const timeout = Math.min(client.timeout, CANCEL_TIMEOUT);
      await client.requestOnce({ method: "DELETE", url: location, scopes, timeout });
    } catch {
      // Registries remove uploads that are not continued.
    }
  }

  return {
    async cancel() {
      // Docker's registry drops an upload only by the URL that its last answer named.
      window?.stop();
      await abortable(sending, AbortSignal.timeout(CANCEL_PATIENCE)).catch(() => undefined);
      patience.abort(new OcicryptError("REGISTRY_UPLOAD_LOST", "the upload was cancelled"));
      await drop();
    },
    async send(content) {
      const step = Math.max(chunkSize ?? USUAL_CHUNK, minimum);
      const kept = uploadWindow(content, isStream ? WINDOW : { size: step, step });
      window = kept;
      const read = async (until: number): Promise<void> => {
        while (!kept.isEnded && kept.end < until) await abortable(kept.more(), signal);
      };
      try {
        await read(1);
        while (kept.failure === undefined && confirmed < kept.end) {
          await deliver(kept);
          if (!isStream) await read(kept.end + 1);
        }
        if (kept.failure !== undefined) throw kept.failure.error;
        patience.signal.throwIfAborted();
      } finally {
        await kept.close();
      }
    },
    async finish(digest) {
      // As text, since parsing it into parameters and back would not keep every byte of a state.
      const url = new URL(location);
      url.search += `${url.search === "" ? "?" : "&"}digest=${encodeURIComponent(digest)}`;
      const timeout = client.timeout * FINISH_PATIENCE;
      const size = window?.end ?? 0;

      const request: RegistryRequest = { method: "PUT", url, scopes, timeout, signal };
      const answer = await client.request(request);
      if ([201, 202, 204].includes(answer.status)) {
        if (isStream) window?.release();
        return;
      }
      // The first of two requests succeeded and its answer was lost; or the status is unusual.
      const isUnclear = answer.status === 404 || answer.status === 200;
      if (isUnclear && (await isBlob(client, digest, size, scopes, signal))) return;
      const why = failure(request, answer);
      if (answer.status === 200) throw why;
      const isWrong = why.message.includes("DIGEST_INVALID");
      if (isWrong && hasResumed) throw lost(why.message, why);
      throw isWrong ? why : refusal(request, answer);
    },
  };
}

/**
 * Why an upload must start again. Docker's registry refuses any state of an upload but that of its
 * last request, after which it has more bytes once a request broke off; zot drops such an upload.
 */
function lost(why: string, cause?: OcicryptError): OcicryptError {
  const message = `the registry cannot continue an upload: ${why}`;
  return new OcicryptError("REGISTRY_UPLOAD_LOST", message, { cause });
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
