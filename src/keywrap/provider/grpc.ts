import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { ChannelCredentials, ServiceError } from "@grpc/grpc-js";
import { OcicryptError, errno } from "../../errors.js";
import { printable, reasonOf } from "../../text/printable.js";
import { invalidAnswer, MAX_MESSAGE_SIZE, type Operation } from "./messages.js";
import type { ProviderTls } from "./config.js";

export interface GrpcServer {
  readonly address: string;
  readonly tls?: ProviderTls;
}

/**
 * Calls a provider over gRPC, on a new connection.
 *
 * @param who the provider's name in messages
 * @param signal cancels the call
 * @throws {@link OcicryptError} `PACKAGE_MISSING`, `PROVIDER_CONFIG_INVALID`, `PROVIDER_FAILED`,
 *   `PROVIDER_TIMEOUT`, `PROVIDER_INVALID_RESPONSE`
 */
export async function callServer(
  { address, tls }: GrpcServer,
  operation: Operation,
  request: Uint8Array,
  who: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const grpc = await loadGrpc();
  const credentials =
    tls === undefined ? grpc.credentials.createInsecure() : await tlsCredentials(grpc, tls, who);
  signal.throwIfAborted();
  const client = new grpc.Client(address, credentials, {
    "grpc.max_receive_message_length": MAX_MESSAGE_SIZE,
    "grpc.use_local_subchannel_pool": 1,
    // grpc-js uses http_proxy, and such a proxy could read the layer's key. Over TLS, a proxy
    // cannot read it.
    ...(tls === undefined && { "grpc.enable_http_proxy": 0 }),
    ...(tls?.["server-name"] !== undefined && {
      "grpc.ssl_target_name_override": tls["server-name"],
    }),
  });
  try {
    const answer = await new Promise<Uint8Array>((resolve, reject) => {
      const call = client.makeUnaryRequest<Uint8Array, Uint8Array>(
        METHODS[operation],
        asBuffer,
        (bytes) => bytes,
        encodeMessage(request),
        (error, bytes) => {
          if (error === null && bytes !== undefined) resolve(bytes);
          else reject(asProviderError(grpc, error, who));
        },
      );
      signal.addEventListener("abort", () => {
        call.cancel();
      });
    });
    const bytes = decodeMessage(answer);
    if (bytes === null) throw invalidAnswer(who, "not a message of the protocol");
    return bytes;
  } finally {
    client.close();
  }
}

async function tlsCredentials(
  grpc: Grpc,
  tls: ProviderTls,
  who: string,
): Promise<ChannelCredentials> {
  try {
    const [rootCa, cert, key] = await Promise.all(
      [tls["root-ca-file"], tls["cert-file"], tls["key-file"]].map(readOptional),
    );
    // Node treats a file without a certificate as an empty list.
    if (rootCa) new X509Certificate(rootCa);
    const rejectUnauthorized = tls["insecure-skip-verify"] !== true;
    return grpc.credentials.createSsl(rootCa, key, cert, { rejectUnauthorized });
  } catch (error) {
    const message = `the TLS files of ${who} cannot be used: ${reasonOf(error)}`;
    throw new OcicryptError("PROVIDER_CONFIG_INVALID", message, { cause: error });
  }
}

async function readOptional(path: string | undefined): Promise<Buffer | null> {
  return path === undefined ? null : await readFile(path);
}

function asProviderError(grpc: Grpc, error: ServiceError | null, who: string): OcicryptError {
  if (error === null) return invalidAnswer(who, "it is empty");
  const { code, details } = error;
  const said = printable(details) || "no details";
  const name = grpc.status[code] as string | undefined;
  const message = `${who} answered ${name ?? `status ${String(code)}`}: ${said}`;
  if (code === grpc.status.DEADLINE_EXCEEDED) {
    return new OcicryptError("PROVIDER_TIMEOUT", message, { cause: error });
  }
  // Reported by this side of the connection if an answer exceeds the limit.
  if (code === grpc.status.RESOURCE_EXHAUSTED && details.startsWith("Received message larger")) {
    return invalidAnswer(who, "it is too large");
  }
  return new OcicryptError("PROVIDER_FAILED", message, { cause: error });
}

/** Field 1, length-delimited: the one field that requests and answers have. */
const TAG = 0x0a;

/** Encodes a protocol buffers message with one field of bytes. */
export function encodeMessage(bytes: Uint8Array): Buffer {
  return encodeField(1, bytes);
}

/** @param number up to 15 */
export function encodeField(number: number, bytes: Uint8Array): Buffer {
  const header = [number * 8 + 2];
  let length = bytes.byteLength;
  for (; length >= 0x80; length = Math.floor(length / 0x80)) header.push((length % 0x80) | 0x80);
  header.push(length);
  return Buffer.concat([Uint8Array.from(header), bytes]);
}

/** Decodes such a message: no bytes if the field is absent, `null` for any other message. */
export function decodeMessage(message: Uint8Array): Uint8Array | null {
  if (message.byteLength === 0) return message;
  if (message[0] !== TAG) return null;
  let length = 0;
  let offset = 1;
  // Four bytes of seven bits are more than a message may have.
  for (let scale = 1; ; scale *= 0x80, offset++) {
    const byte = message[offset];
    if (byte === undefined || offset > 4) return null;
    length += (byte % 0x80) * scale;
    if (byte < 0x80) break;
  }
  offset++;
  if (length > MAX_MESSAGE_SIZE || offset + length !== message.byteLength) return null;
  return message.subarray(offset);
}

export type Grpc = typeof import("@grpc/grpc-js");

/**
 * Loads the gRPC library, an optional package: most key providers are commands.
 *
 * @throws {@link OcicryptError} `PACKAGE_MISSING`
 */
export async function loadGrpc(
  load: () => Promise<Grpc> = () => import("@grpc/grpc-js"),
): Promise<Grpc> {
  try {
    return await load();
  } catch (error) {
    if (errno(error) !== "ERR_MODULE_NOT_FOUND") throw error;
    const message =
      "key providers over gRPC need the package @grpc/grpc-js: npm install @grpc/grpc-js";
    throw new OcicryptError("PACKAGE_MISSING", message, { cause: error });
  }
}

/** The method for each operation; ocicrypt utils/keyprovider/keyprovider.proto. */
export const METHODS: Readonly<Record<Operation, string>> = {
  keywrap: "/keyprovider.KeyProviderService/WrapKey",
  keyunwrap: "/keyprovider.KeyProviderService/UnWrapKey",
};

/** gRPC passes messages as bytes, so that malformed ones get an error code of this library. */
export function asBuffer(message: Uint8Array): Buffer {
  return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
}
