import { giveBuffer, takeBuffer } from "../io/buffers.js";
import type { RegistryRequest } from "./client.js";
import { invalidAnswer } from "./failure.js";
import type { Answer } from "../http/transport.js";

/** The last part of a stream of content, which is kept so that it can be sent again. */
export interface UploadWindow {
  /** The offset of the first byte that is kept. */
  readonly start: number;
  /** The offset after the last byte that was read. */
  readonly end: number;
  readonly isEnded: boolean;
  /** The error of the content. */
  readonly failure: { error: unknown } | undefined;
  /** Reads on, up to the next multiple of a step. Never rejects. */
  more(): Promise<void>;
  /** The kept bytes from an offset on, up to the next multiple of a step. */
  at(offset: number): Uint8Array<ArrayBuffer>;
  /** Resolves when {@link stop} is called. */
  readonly stopped: Promise<void>;
  /** Ends requests that stream the content, after the bytes that have been read. */
  stop(): void;
  /** Closes content that was not read to its end. */
  close(): Promise<void>;
  /** Gives the memory to the next window, once all of the content has arrived. */
  release(): void;
}

/**
 * Reads content through a ring buffer of a fixed size, so that memory does not grow with it.
 *
 * @param size the size of the buffer in bytes, a multiple of `step`
 * @param step the size of the pieces, in bytes
 */
export function uploadWindow(
  content: AsyncIterable<Uint8Array>,
  { size, step }: { size: number; step: number },
): UploadWindow {
  const bytes = takeBuffer(size);
  const iterator = content[Symbol.asyncIterator]();
  let end = 0;
  let isEnded = false;
  let failure: { error: unknown } | undefined;
  let rest: Uint8Array = new Uint8Array(0);
  let reading: Promise<void> | undefined;
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => (stop = resolve));

  async function read(): Promise<void> {
    const target = (Math.floor(end / step) + 1) * step;
    try {
      while (end < target) {
        if (rest.byteLength === 0) {
          const result = await iterator.next();
          if (result.done === true) {
            isEnded = true;
            return;
          }
          rest = result.value;
        }
        const part = rest.subarray(0, target - end);
        bytes.set(part, end % size);
        end += part.byteLength;
        rest = rest.subarray(part.byteLength);
      }
    } catch (error) {
      isEnded = true;
      failure = { error };
    }
  }

  return {
    get start() {
      return Math.max(0, end - size);
    },
    get end() {
      return end;
    },
    get isEnded() {
      return isEnded;
    },
    get failure() {
      return failure;
    },
    async more() {
      if (isEnded) return;
      // An abandoned request may have started to read. Available content is read without a pause,
      // so the promise is reset only after it has been set.
      reading ??= read().finally(() => (reading = undefined));
      await reading;
    },
    at(offset) {
      const place = offset % size;
      const length = Math.min(end - offset, step - (offset % step));
      return bytes.subarray(place, place + length);
    },
    stopped,
    stop,
    async close() {
      if (isEnded) return;
      const closed = Promise.resolve(iterator.return?.()).catch(() => undefined);
      // Content that has stalled closes only when it continues, if ever.
      if (reading === undefined) await closed;
    },
    release() {
      giveBuffer(bytes);
    },
  };
}

/**
 * The way in which a registry accepts content: in one request of unknown length, as all registries
 * accept it from `docker push`, or in chunks. Amazon ECR requires chunks of 5 MiB or more and
 * reports this only at the end (https://github.com/regclient/regclient/issues/81); GitHub's
 * registry rejects chunks above 4 MiB (https://github.com/ocx-sh/ocx/pull/237); Google Artifact
 * Registry rejects a second chunk (https://github.com/containers/skopeo/issues/1101). Proxies in
 * front of a registry limit the size of a request
 * (https://github.com/goharbor/harbor/issues/22353), nginx to 1 MiB unless it is configured
 * (https://nginx.org/en/docs/http/ngx_http_core_module.html#client_max_body_size). Content in the last request, which would save
 * a request, is rejected by Artifactory (https://github.com/docker/buildx/issues/196).
 */
export interface Shape {
  isStream: boolean;
  /** The most bytes in a chunk. */
  most: number;
}

/** The shape that worked last if the usual shape did not, by the registry's host. */
const shapes = new Map<string, Shape>();
const MAX_SHAPES = 1000;
const PROXY_LIMIT: number = 1024 * 1024;

/** Returns the shape to try first with a host. */
export function shapeFor(host: string, chunkSize: number | undefined): Shape {
  return shapes.get(host) ?? { isStream: chunkSize === undefined, most: Infinity };
}

/**
 * Remembers the shape to try after a rejected one for the next uploads to a host, in this process.
 *
 * @param sent the bytes in each chunk, if it was not a stream
 * @param isTooLarge whether the request was too large
 */
export function rememberShape(host: string, sent: number | undefined, isTooLarge = false): void {
  if (shapes.size >= MAX_SHAPES) shapes.clear();
  const isLimit = isTooLarge && sent !== undefined && sent > PROXY_LIMIT;
  shapes.set(host, {
    isStream: sent !== undefined && !isLimit,
    most: isLimit ? PROXY_LIMIT : Infinity,
  });
}

/**
 * Returns the number of bytes that a registry reports, of those up to `end`.
 *
 * @throws {@link OcicryptError} `REGISTRY_INVALID_RESPONSE`
 */
export function receivedBytes(
  request: RegistryRequest,
  answer: Answer,
  end: number,
): number | undefined {
  const range = answer.headers.get("range");
  if (range === null) return undefined;
  const last = /^(?:bytes=)?0-(\d{1,16})$/.exec(range)?.[1];
  const received = Number(last) + 1;
  if (last === undefined || received > end) {
    throw invalidAnswer(request, "it has bytes that were not sent");
  }
  return received;
}
