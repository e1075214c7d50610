import type { RegistryRetry } from "./backoff.js";
import type { CredentialSource } from "./credentials.js";
import type { Credentials } from "./credential-helper.js";
import type { RegistryReference } from "./reference.js";
import type { Fetch } from "./transport.js";

/** Options for talking to a registry. */
export interface RegistryOptions {
  /**
   * Credentials, or a function that finds them. Default: `configuredCredentials()`, which reads
   * what `docker login`, `podman login` or `skopeo login` stored. They are sent to the host of the
   * reference and to the token service that it names, never with a redirect to another origin.
   */
  credentials?: Credentials | CredentialSource | undefined;
  /**
   * Use plain HTTP instead of HTTPS. Anyone on the way can then read and change what passes,
   * credentials too. Default: false, and for this machine (`localhost`, `127.0.0.1`, `[::1]`) HTTP
   * where the registry does not speak TLS and no `ca` is given.
   */
  insecure?: boolean | undefined;
  /**
   * Certificates in PEM to trust in addition to those of Node.js, of `NODE_EXTRA_CA_CERTS` and
   * `SSL_CERT_FILE`, and of the registry's `certs.d` directory. Not together with `fetch`.
   */
  ca?: string | Uint8Array | undefined;
  /**
   * Sends the requests in place of undici, such as the global `fetch`. Without a `chunkSize` it must
   * take an async iterable as body, as that of Node.js does.
   */
  fetch?: Fetch | undefined;
  /** Milliseconds within which 64 KiB, or all that is left, must pass. Default: 60,000. */
  timeout?: number | undefined;
  /** How often a request that failed temporarily is sent again. Default: 4. */
  retries?: number | undefined;
  /** Milliseconds before the first retry; the pauses grow. Default: 500. */
  retryDelay?: number | undefined;
  /** Called before a request is sent again. */
  onRetry?: ((retry: RegistryRetry) => void) | undefined;
}

export interface RegistryDestinationOptions extends RegistryOptions {
  /**
   * Bytes in each request of an upload, which are held in memory. Default: one request that streams
   * the whole blob, or 5 MiB where a registry does not take that.
   */
  chunkSize?: number | undefined;
  /** A repository of the same registry that blobs can be mounted from. */
  mountFrom?: RegistryReference | undefined;
  signal?: AbortSignal | undefined;
}

export const DEFAULT_TIMEOUT = 60_000;
export const DEFAULT_RETRIES = 4;
export const DEFAULT_RETRY_DELAY = 500;

/** @throws {RangeError} */
export function atLeast(name: string, value: number, minimum: number): number {
  if (Number.isSafeInteger(value) && value >= minimum) return value;
  throw new RangeError(`${name} must be a whole number from ${String(minimum)} on`);
}
