import type { Fetch } from "../http/transport.js";
import type { CredentialSource } from "./credentials.js";
import type { Credentials } from "./credential-helper.js";
import type { RegistryReference } from "./reference.js";

/** A request that failed temporarily and is sent again. */
export interface RegistryRetry {
  /** The reason for the retry. */
  reason: string;
  /** The number of the retry, from 1. */
  attempt: number;
  /** The largest number of retries. */
  retries: number;
}

/** Options for talking to a registry. */
export interface RegistryOptions {
  /**
   * Credentials, or a function that finds them. Default: `configuredCredentials()`, which reads
   * what `docker login`, `podman login` or `skopeo login` stored. They are sent only to the host of
   * the reference and to the token service that it names, and never follow a redirect to another
   * origin.
   */
  credentials?: Credentials | CredentialSource | undefined;
  /**
   * Uses plain HTTP instead of HTTPS. Anyone on the network can then read and change the traffic,
   * including credentials. Default: false; on this machine (`localhost`, `127.0.0.1`, `[::1]`),
   * HTTP is used if the registry does not speak TLS and no `ca` is given.
   */
  insecure?: boolean | undefined;
  /**
   * Certificates in PEM to trust in addition to those of Node.js, `NODE_EXTRA_CA_CERTS`,
   * `SSL_CERT_FILE` and the registry's `certs.d` directory. It cannot be combined with `fetch`.
   */
  ca?: string | Uint8Array | undefined;
  /**
   * Sends the requests instead of undici, such as the global `fetch`. Without `chunkSize`, it must
   * accept an async iterable as the body, as Node's `fetch` does.
   */
  fetch?: Fetch | undefined;
  /**
   * The milliseconds within which 64 KiB, or the rest of the content, must be transferred. Default:
   * 60,000.
   */
  timeout?: number | undefined;
  /** The number of times that a request is sent again after a temporary failure. Default: 4. */
  retries?: number | undefined;
  /** The milliseconds before the first retry; later pauses are longer. Default: 500. */
  retryDelay?: number | undefined;
  /** Called before a request is sent again. */
  onRetry?: ((retry: RegistryRetry) => void) | undefined;
}

export interface RegistryDestinationOptions extends RegistryOptions {
  /**
   * The bytes in each request of an upload, which are kept in memory. Default: one request that
   * streams the whole blob, or 5 MiB if a registry does not accept that.
   */
  chunkSize?: number | undefined;
  /** A repository of the same registry from which blobs can be mounted. */
  mountFrom?: RegistryReference | undefined;
  signal?: AbortSignal | undefined;
}

export const DEFAULT_TIMEOUT = 60_000;
export const DEFAULT_RETRIES = 4;
export const DEFAULT_RETRY_DELAY = 500;
