import type { ServeOptions } from "./respond.js";
import { serveCommand } from "./serve-command.js";
import type { KeyProviderServer, ServerTls } from "./serve-grpc.js";
import type { KeyProvider } from "./types.js";

export interface ServeCommandOptions extends ServeOptions {
  transport: "cmd";
}

export interface ServeGrpcOptions extends ServeOptions {
  transport: "grpc";
  /** `HOST:PORT`, port 0 for any free one; or `unix:///PATH`. */
  address: string;
  /** Without it whoever reaches the address is served, and keys travel in clear. */
  tls?: ServerTls | undefined;
}

/**
 * Makes this process the command of a key provider for skopeo, containerd, CRI-O and others: it
 * reads one request from standard input and writes the answer to standard output, where nothing
 * else must be written. What goes wrong is told on standard error, with exit status 1.
 */
export function serveKeyProvider(
  provider: KeyProvider,
  options: ServeCommandOptions,
): Promise<void>;
/**
 * Serves a key provider over gRPC.
 *
 * @returns once it listens
 * @throws {@link OcicryptError} `PACKAGE_MISSING`
 * @throws {Error} when it can not listen there, or when its certificate or key is not usable
 */
export function serveKeyProvider(
  provider: KeyProvider,
  options: ServeGrpcOptions,
): Promise<KeyProviderServer>;
export function serveKeyProvider(
  provider: KeyProvider,
  options: ServeCommandOptions | ServeGrpcOptions,
): Promise<void> | Promise<KeyProviderServer> {
  return options.transport === "cmd" ? serveCommand(provider, options) : listen(provider, options);
}

async function listen(
  provider: KeyProvider,
  options: ServeGrpcOptions,
): Promise<KeyProviderServer> {
  const { serveGrpc } = await import("./serve-grpc.js");
  return await serveGrpc(provider, options.address, options.tls, options);
}
