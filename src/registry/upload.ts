import { OcicryptError } from "../errors.js";
import { abortable } from "../io/abort.js";
import { isBusy, retryAfter } from "../http/backoff.js";
import { isSuccess, type RegistryClient, type RegistryRequest } from "./client.js";
import { isBlob } from "./blob.js";
import type { Answer } from "../http/transport.js";
import { failure, invalidAnswer, isTransient } from "./failure.js";
import {
  receivedBytes,
  rememberShape,
  shapeFor,
  uploadWindow,
  type UploadWindow,
} from "./upload-window.js";

export interface UploadOptions {
  /** The registry's host and port. */
  host: string;
  /** The bytes in each request. Default: one request that streams the whole content. */
  chunkSize: number | undefined;
  scopes: readonly string[];
  signal: AbortSignal | undefined;
}

/** An upload of a blob to a registry. */
export interface Upload {
  /** Sends the content. */
  send(content: AsyncIterable<Uint8Array>): Promise<void>;
  /** Completes the upload as a blob of the repository. */
  finish(digest: string): Promise<void>;
  /** Cancels the upload in the registry; never fails. */
  cancel(): Promise<void>;
}

/** In bytes: the part of an interrupted stream that may not have reached the registry. */
const WINDOW = { size: 2 * 1024 * 1024, step: 256 * 1024 };
/** The size of chunks in bytes, if a registry does not accept streams; ECR's minimum. */
const USUAL_CHUNK: number = 5 * 1024 * 1024;
/** The most bytes that a registry can make this client keep in memory. */
const MAX_CHUNK_SIZE: number = 256 * 1024 * 1024;
/** After this many uploaded bytes, retries are counted from zero again. */
const PROGRESS: number = 1024 * 1024;
/** A registry may copy or hash the whole blob before it answers the last request. */
const FINISH_PATIENCE = 10;
/** In milliseconds; cleaning up must not delay the report of a failure. */
const CANCEL_TIMEOUT = 5000;
/** In milliseconds, for a request that is still running when an upload is cancelled. */
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
  const { isStream, most } = shapeFor(host, chunkSize);
  const patience = new AbortController();
  const { minimum, ...first } = await start();
  let { location } = first;
  const step = isStream ? undefined : Math.max(Math.min(chunkSize ?? USUAL_CHUNK, most), minimum);
  let window: UploadWindow | undefined;
  /** The registry certainly has all bytes before this offset. */
  let confirmed = 0;
  let hasResumed = false;
  let sending: Promise<unknown> = Promise.resolve();

  async function start(): Promise<{ location: URL; minimum: number }> {
    const url = await client.url("blobs/uploads/");
    const request: RegistryRequest = { method: "POST", url, scopes, signal: patience.signal };
    const opening = client.request(request);
    const answer = await abortable(opening, signal).catch(async (error: unknown) => {
      // The registry may have opened an upload, which nobody else would cancel.
      await abortable(opening, AbortSignal.timeout(CANCEL_PATIENCE))
        .then((late) => drop(placeOf(request, late.headers.get("location"))))
        .catch(() => undefined);
      patience.abort(error);
      throw error;
    });
    if (!isSuccess(answer.status)) throw failure(request, answer);
    const next = placeOf(request, answer.headers.get("location"));
    const minimumText = answer.headers.get("oci-chunk-min-length") ?? "0";
    const minimum = /^\d{1,15}$/.test(minimumText) ? Number(minimumText) : NaN;
    if (!(minimum <= MAX_CHUNK_SIZE)) throw invalidAnswer(request, "it asks for too large chunks");
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

  /** Sends the kept bytes from an offset on, then reads more. Ends early if the content fails. */
  async function* streamed(
    from: number,
    content: UploadWindow,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    if (from < content.start) {
      rememberShape(host, step);
      throw lost("a redirect asks for its start again, which is not kept");
    }
    for (let offset = from; ;) {
      if (offset === content.end) await Promise.race([content.more(), content.stopped]);
      if (offset === content.end) return;
      const piece = content.at(offset);
      offset += piece.byteLength;
      // undici has sent a piece before it takes the next one; another client may keep the piece.
      yield client.hasOwnFetch ? piece.slice() : piece;
    }
  }

  /** Sends the rest of the content, or the next chunk, with as many requests as needed. */
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
          // zot reports only the last chunk, ECR the first: a smaller number need not mean a loss.
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
      // Everything has arrived, and only the answer was lost.
      if (from === content.end && (content.isEnded || !isStream)) break;
    }
    confirmed = content.end;
  }

  /** Sends a request, which may continue for a while after it is no longer needed. */
  async function sendOnce(request: RegistryRequest): Promise<Answer> {
    const answer = await client.requestOnce(request);
    if (isSuccess(answer.status)) follow(request, answer);
    return answer;
  }

  /** Returns the error for a rejected request, after which another shape of request may work. */
  function refusal(request: RegistryRequest, answer: Answer): OcicryptError {
    const why = failure(request, answer);
    // A chunk of an unsuitable size is rejected immediately, or from the second chunk on.
    const isShape = isStream
      ? [411, 413, 501].includes(answer.status)
      : [413, 416].includes(answer.status) ||
        (confirmed > 0 && [400, 405, 409, 411, 415, 422, 501].includes(answer.status));
    if (isShape) rememberShape(host, step, answer.status === 413);
    return isShape || answer.status === 404 ? lost(why.message, why) : why;
  }

  /** Asks the registry how many bytes have arrived; `undefined` if it does not say. */
  async function status(end: number): Promise<number | undefined> {
    const request: RegistryRequest = { method: "GET", url: location, scopes, signal };
    const answer = await client.request(request);
    if (!isSuccess(answer.status)) return undefined;
    const received = receivedBytes(request, answer, end);
    follow(request, answer);
    return received;
  }

  /** Finds the offset from which to resume, which is 0 in a new upload if all bytes are kept. */
  async function resume(content: UploadWindow): Promise<number> {
    const request: RegistryRequest = { method: "GET", url: location, scopes, signal };
    const answer = await client.request(request);
    const isKnown = isSuccess(answer.status);
    const received = isKnown ? receivedBytes(request, answer, content.end) : undefined;
    if (isKnown) follow(request, answer);
    // For an empty upload, registries report "0-0", as for an upload with one byte.
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

  async function drop(url = location): Promise<void> {
    try {
      const timeout = Math.min(client.timeout, CANCEL_TIMEOUT);
      await client.requestOnce({ method: "DELETE", url, scopes, timeout });
    } catch {
      // Registries remove abandoned uploads themselves.
    }
  }

  return {
    async cancel() {
      // Docker's registry cancels an upload only at the URL that its last answer named.
      window?.stop();
      await abortable(sending, AbortSignal.timeout(CANCEL_PATIENCE)).catch(() => undefined);
      patience.abort(new OcicryptError("REGISTRY_UPLOAD_LOST", "the upload was cancelled"));
      await drop();
    },
    async send(content) {
      const kept = uploadWindow(content, step === undefined ? WINDOW : { size: step, step });
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
      // As text, because parsing the parameters would not preserve every byte of a state.
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
      // An earlier request may have succeeded without an answer, or the status is unusual.
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
 * Returns the error if an upload must start again. After an interrupted request, Docker's registry
 * has more bytes than the state that it accepts, and zot drops the upload.
 */
function lost(why: string, cause?: OcicryptError): OcicryptError {
  const message = `the registry cannot continue an upload: ${why}`;
  return new OcicryptError("REGISTRY_UPLOAD_LOST", message, { cause });
}
