import type { Readable, Writable } from "node:stream";
import { chmod } from "node:fs/promises";
import { dirname } from "node:path";
import type { handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import { collect } from "../../io/source.js";
import { type ErrorCode, isOcicryptError, OcicryptError } from "../../errors.js";
import { reasonOf } from "../../text/printable.js";
import { redactError } from "../../text/redact.js";
import {
  type AnswerEncoding,
  encodeAnswer,
  type KeyProvider,
  MAX_MESSAGE_SIZE,
  type Operation,
  parseRequest,
  type Request,
} from "./messages.js";
import { listenTtrpc, requireOwnDirectory, type Handle } from "./ttrpc.js";
import { asBuffer, decodeMessage, encodeMessage, type Grpc, loadGrpc, METHODS } from "./grpc.js";

export interface ServeOptions {
  /**
   * The provider's name in the configuration of its clients: only parameters under this name are
   * passed on. Without it, the provider receives the parameters of all providers that a client
   * uses.
   */
  name?: string | undefined;
  /** Default: `numbers`. Go reads both, Rust reads only numbers. */
  encoding?: AnswerEncoding | undefined;
}

/**
 * Answers one request.
 *
 * @param message the request; overwritten
 * @param expected the operation, if the transport names it as well
 * @throws {@link OcicryptError} `PROVIDER_INVALID_REQUEST`, `NO_MATCHING_KEY`,
 *   `PROVIDER_INVALID_RESPONSE`; errors of the provider
 */
export async function respond(
  provider: KeyProvider,
  message: Uint8Array,
  { name, encoding = "numbers" }: ServeOptions,
  signal: AbortSignal,
  expected?: Operation,
): Promise<Uint8Array> {
  const { operation, bytes, params } = readRequest(message, name);
  if (expected !== undefined && operation !== expected) {
    const what = `its operation is ${operation}, but the method that was called is for ${expected}`;
    throw new OcicryptError("PROVIDER_INVALID_REQUEST", `the request is contradictory: ${what}`);
  }
  let result: Uint8Array | null | undefined;
  try {
    const method = operation === "keywrap" ? "wrapKey" : "unwrapKey";
    result = await provider[method]({ bytes, params, signal });
    if (result === null) {
      throw new OcicryptError("NO_MATCHING_KEY", "the wrapped key belongs to another provider");
    }
    if (result.byteLength === 0) {
      throw new OcicryptError("PROVIDER_INVALID_RESPONSE", "the provider returned no bytes");
    }
    return encodeAnswer(operation, result, encoding);
  } catch (error) {
    throw redactError(error, result instanceof Uint8Array ? [bytes, result] : [bytes]);
  } finally {
    bytes.fill(0);
    if (operation === "keyunwrap") result?.fill(0);
  }
}

function readRequest(message: Uint8Array, name: string | undefined): Request {
  try {
    return parseRequest(message, name);
  } finally {
    message.fill(0);
  }
}

export interface ServeCommandOptions extends ServeOptions {
  transport: "cmd";
}

export interface ServeTtrpcOptions extends ServeOptions {
  transport: "ttrpc";
  /** `unix:///PATH`, in a directory of this user with mode 0700. The socket gets mode 0600. */
  address: string;
}

export interface ServeGrpcOptions extends ServeOptions {
  transport: "grpc";
  /**
   * `HOST:PORT`, port 0 for any free one; or `unix:///PATH`, in a directory of this user with mode
   * 0700. The socket gets mode 0600.
   */
  address: string;
  /** Without TLS, anyone who can connect is served, and keys travel in clear text. */
  tls?: ServerTls | undefined;
}

/**
 * Makes this process a key provider command for skopeo, containerd, CRI-O and others. Reads one
 * request from standard input and writes the answer to standard output; write nothing else there.
 * On failure, prints the reason to standard error and sets exit status 1.
 */
export function serveKeyProvider(
  provider: KeyProvider,
  options: ServeCommandOptions,
): Promise<void>;
/**
 * Serves a key provider over gRPC, or over ttrpc for confidential containers.
 *
 * @returns the server, once it listens
 * @throws {@link OcicryptError} `PACKAGE_MISSING`
 * @throws {Error} when it cannot listen there, when others can enter the directory of its socket,
 *   or when its certificate or key is not usable
 */
export function serveKeyProvider(
  provider: KeyProvider,
  options: ServeGrpcOptions | ServeTtrpcOptions,
): Promise<KeyProviderServer>;
export function serveKeyProvider(
  provider: KeyProvider,
  options: ServeCommandOptions | ServeGrpcOptions | ServeTtrpcOptions,
): Promise<void> | Promise<KeyProviderServer> {
  switch (options.transport) {
    case "cmd":
      return serveCommand(provider, options);
    case "ttrpc":
      return serveTtrpc(provider, options);
    default:
      return serveGrpc(provider, options);
  }
}

/** The standard streams and the exit status of the process. */
export interface Stdio {
  stdin: Readable;
  stdout: Writable;
  stderr: Writable;
  exitCode?: NodeJS.Process["exitCode"];
}

/** Answers the request on standard input; prints failures to standard error. */
export async function serveCommand(
  provider: KeyProvider,
  options: ServeOptions,
  stdio: Stdio = process,
): Promise<void> {
  try {
    const request = await readAll(stdio.stdin);
    const { signal } = new AbortController();
    const answer = await respond(provider, request, options, signal);
    stdio.stdout.write(answer);
  } catch (error) {
    stdio.stderr.write(`${reasonOf(error)}\n`);
    stdio.exitCode = 1;
  }
}

async function readAll(stdin: AsyncIterable<Buffer>): Promise<Uint8Array> {
  return await collect(stdin, MAX_MESSAGE_SIZE, () => {
    return new OcicryptError("PROVIDER_INVALID_REQUEST", "the request is too large");
  });
}

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

async function serveTtrpc(
  provider: KeyProvider,
  options: ServeTtrpcOptions,
): Promise<KeyProviderServer> {
  const { address } = options;
  const socket = socketOf(address);
  if (socket === undefined) throw new Error("ttrpc is served at unix:///PATH only");
  await requireOwnDirectory(dirname(socket));
  const handle: Handle = (operation, request, signal) =>
    respond(provider, request, options, signal, operation);
  const server = await listenTtrpc(socket, handle, statusOf);
  await chmod(socket, 0o600);
  return { address, close: () => server.close() };
}

function socketOf(address: string): string | undefined {
  return /^unix:(?:\/\/)?(.*)$/s.exec(address)?.[1];
}

/** Serves a provider over gRPC. */
async function serveGrpc(
  provider: KeyProvider,
  options: ServeGrpcOptions,
): Promise<KeyProviderServer> {
  const { address, tls } = options;
  const grpc = await loadGrpc();
  const server = new grpc.Server({ "grpc.max_receive_message_length": MAX_MESSAGE_SIZE });
  for (const operation of ["keywrap", "keyunwrap"] as const) {
    const handler = handlerFor(grpc, operation, provider, options);
    const identity = (message: Buffer): Buffer => message;
    server.register(METHODS[operation], handler, identity, identity, "unary");
  }
  const socket = socketOf(address);
  if (socket !== undefined) await requireOwnDirectory(dirname(socket));
  const port = await bind(server, address, credentialsFor(grpc, tls));
  if (socket !== undefined) await chmod(socket, 0o600);
  return {
    address: address.startsWith("unix:") ? address : address.replace(/:\d+$/, `:${String(port)}`),
    close: () => close(server),
  };
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
