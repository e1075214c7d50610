import { chmod, lstat } from "node:fs/promises";
import { dirname } from "node:path";
import type { handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import { isOcicryptError, type ErrorCode } from "../../errors.js";
import { asBuffer, loadGrpc, METHODS, type Grpc } from "./grpc.js";
import { MAX_MESSAGE_SIZE } from "./types.js";
import { decodeMessage, encodeMessage } from "./grpc.js";
import { printable, reasonOf } from "../../text/printable.js";
import type { Operation } from "./messages.js";
import { respond, type ServeOptions } from "./serve.js";
import type { KeyProvider } from "./types.js";

/** The TLS identity of a server and the authority of its clients, as PEM. */
export interface ServerTls {
  cert: string | Uint8Array;
  key: string | Uint8Array;
  /** Requires clients to present a certificate of this authority. */
  clientCa?: string | Uint8Array | undefined;
}

/** A running server. */
export interface KeyProviderServer {
  /** `HOST:PORT` with the port in use, or the `unix:` address. */
  readonly address: string;
  /** Stops the server after its running calls, or after five seconds. */
  close(): Promise<void>;
}

/** How long running calls may continue after `close()`, in milliseconds. */
const CLOSE_TIMEOUT = 5000;

/** Serves a provider over gRPC. */
export async function serveGrpc(
  provider: KeyProvider,
  address: string,
  tls: ServerTls | undefined,
  options: ServeOptions,
): Promise<KeyProviderServer> {
  const grpc = await loadGrpc();
  const server = new grpc.Server({ "grpc.max_receive_message_length": MAX_MESSAGE_SIZE });
  for (const operation of ["keywrap", "keyunwrap"] as const) {
    const handler = handlerFor(grpc, operation, provider, options);
    const identity = (message: Buffer): Buffer => message;
    server.register(METHODS[operation], handler, identity, identity, "unary");
  }
  const socket = /^unix:(?:\/\/)?(.*)$/s.exec(address)?.[1];
  if (socket !== undefined) await requireOwnDirectory(dirname(socket));
  const port = await bind(server, address, credentialsFor(grpc, tls));
  if (socket !== undefined) await chmod(socket, 0o600);
  return {
    address: address.startsWith("unix:") ? address : address.replace(/:\d+$/, `:${String(port)}`),
    close: () => close(server),
  };
}

/** Until its mode is set, anyone who can enter the directory of a socket could connect to it. */
async function requireOwnDirectory(directory: string): Promise<void> {
  const uid = process.getuid?.();
  if (uid === undefined) return;
  const { uid: owner, mode } = await lstat(directory);
  if (owner === uid && (mode & 0o077) === 0) return;
  throw new Error(
    `the directory ${printable(directory, 300)} of the socket is open to other users; ` +
      "use one that belongs to this user, with mode 0700",
  );
}

function handlerFor(
  grpc: Grpc,
  operation: Operation,
  provider: KeyProvider,
  options: ServeOptions,
): handleUnaryCall<Buffer, Buffer> {
  return (call, callback) => {
    const controller = new AbortController();
    call.on("cancelled", () => {
      controller.abort();
    });
    const request = decodeMessage(call.request) ?? new Uint8Array();
    respond(provider, request, options, controller.signal, operation).then(
      (answer) => {
        callback(null, asBuffer(encodeMessage(answer)));
      },
      (error: unknown) => {
        callback({ code: grpc.status[statusOf(error)], details: reasonOf(error) });
      },
    );
  };
}

function statusOf(error: unknown): "INVALID_ARGUMENT" | "NOT_FOUND" | "UNKNOWN" {
  const is = (code: ErrorCode): boolean => isOcicryptError(error, code);
  if (is("PROVIDER_INVALID_REQUEST")) return "INVALID_ARGUMENT";
  return is("NO_MATCHING_KEY") ? "NOT_FOUND" : "UNKNOWN";
}

function credentialsFor(grpc: Grpc, tls: ServerTls | undefined): ServerCredentials {
  if (tls === undefined) return grpc.ServerCredentials.createInsecure();
  const { cert, key, clientCa } = tls;
  return grpc.ServerCredentials.createSsl(
    clientCa === undefined ? null : Buffer.from(clientCa),
    [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }],
    clientCa !== undefined,
  );
}

async function bind(
  server: Server,
  address: string,
  credentials: ServerCredentials,
): Promise<number> {
  return await new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
    }, CLOSE_TIMEOUT);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
