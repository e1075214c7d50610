import { OcicryptError } from "../../errors.js";
import { encodeAnswer, parseRequest, type Operation, type Request } from "./messages.js";
import type { KeyProviderServer, ServerTls } from "./serve-grpc.js";
import type { Readable, Writable } from "node:stream";
import { MAX_MESSAGE_SIZE, type AnswerEncoding, type KeyProvider } from "./types.js";
import { reasonOf } from "../../text/printable.js";
import { redactError } from "../../text/redact.js";

export interface ServeOptions {
  /**
   * The provider's name in the configuration of its clients: only parameters under this name are
   * passed on. Without it, the parameters of all providers that a client uses are.
   */
  name?: string | undefined;
  /** `numbers` for clients of ocicrypt-rs, by default `base64`. Go reads both. */
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
  { name, encoding = "base64" }: ServeOptions,
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
 * Serves a key provider over gRPC.
 *
 * @returns the server, once it listens
 * @throws {@link OcicryptError} `PACKAGE_MISSING`
 * @throws {Error} when it cannot listen there, when others can enter the directory of its socket,
 *   or when its certificate or key is not usable
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

async function readAll(stdin: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > MAX_MESSAGE_SIZE) {
      throw new OcicryptError("PROVIDER_INVALID_REQUEST", "the request is too large");
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
