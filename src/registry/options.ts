import type { RegistryRetry } from "./backoff.js";
import type { Credentials, CredentialSource } from "./credentials.js";
import type { RegistryReference } from "./reference.js";
import type { Fetch } from "./transport.js";

/** How a registry is spoken to. */
export interface RegistryOptions {
  /**
   * What opens the registry, or how to find that. By default `configuredCredentials()`: what
   * `docker login`, `podman login` or `skopeo login` left. They go to the host of the reference and
   * to the token service that it names, and never along with a redirect to another host.
   */
  credentials?: Credentials | CredentialSource | undefined;
  /**
   * Plain HTTP instead of HTTPS, with which everybody on the way reads and changes what passes,
   * credentials too. By default only for this machine itself (`localhost`, `127.0.0.1`, `[::1]`),
   * unless there is a `ca`.
   */
  insecure?: boolean | undefined;
  /** Certificates in PEM to trust besides the usual ones. Not together with `fetch`. */
  ca?: string | Uint8Array | undefined;
  /** Makes the requests, in place of Node's HTTP client: the global `fetch` for one. */
  fetch?: Fetch | undefined;
  /** Milliseconds in which 64 KiB, or all that is left, must have passed; 60,000 by default. */
  timeout?: number | undefined;
  /** How often a request that failed in passing is made again; 4 times by default. */
  retries?: number | undefined;
  /** Milliseconds before the first retry, then longer and longer; 500 by default. */
  retryDelay?: number | undefined;
  /** Called before a request is made again, so that somebody who waits can be told why. */
  onRetry?: ((retry: RegistryRetry) => void) | undefined;
}

export interface RegistryDestinationOptions extends RegistryOptions {
  /**
   * Bytes in each request of an upload, and held in memory for it; 1 MiB by default, or what the
   * registry asks for. More is faster where the registry is far away.
   */
  chunkSize?: number | undefined;
  /** The repository that blobs can be mounted from, if it is of the same registry. */
  mountFrom?: RegistryReference | undefined;
  signal?: AbortSignal | undefined;
}

/** Each of several layers at once holds one, and the whole must stay small beside the process. */
export const DEFAULT_CHUNK_SIZE: number = 1024 * 1024;
export const DEFAULT_TIMEOUT = 60_000;
export const DEFAULT_RETRIES = 4;
export const DEFAULT_RETRY_DELAY = 500;

/** @throws {RangeError} */
export function atLeast(name: string, value: number, minimum: number): number {
  if (Number.isSafeInteger(value) && value >= minimum) return value;
  throw new RangeError(`${name} must be a whole number from ${String(minimum)} on`);
}
