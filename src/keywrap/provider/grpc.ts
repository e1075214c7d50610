import { MAX_MESSAGE_SIZE } from "./types.js";
import { OcicryptError } from "../../errors.js";
import type { Operation } from "./messages.js";

/** Field 1, length-delimited: the one field that requests and answers have. */
const TAG = 0x0a;

/** Encodes a protocol buffers message with one field of bytes. */
export function encodeMessage(bytes: Uint8Array): Uint8Array {
  const header = [TAG];
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
    if (!(error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND")) {
      throw error;
    }
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
