import { addAbortSignal } from "node:stream";
import { errno, isOcicryptError, OcicryptError, shown } from "../errors.js";
import { decodeBase64 } from "../spec/base64.js";
import type { Descriptor } from "../spec/descriptor.js";
import { MAX_PAYLOAD_SIZE } from "../spec/limits.js";
import { DESCRIPTOR, readDescriptor } from "../spec/manifest.js";
import { asObject, MAP, parseJson, requireObject, struct } from "../text/json.js";
import { openInput } from "./pipes.js";

/** imgcrypt's name of the type (imgcrypt payload.go). */
const TYPE_URL = "io.containerd.ocicrypt.v1.Payload";

/** The parameters of Go's DecryptConfig: keys, passwords and the parameters of key providers. */
export type Parameters = ReadonlyMap<string, readonly (Uint8Array | undefined)[]>;

/** The message that a client of containerd passes to the decoder of a layer. */
export interface Payload {
  descriptor: Descriptor;
  parameters: Parameters;
}

/**
 * Reads the payload from an open file descriptor. containerd opens file descriptor 3 only if the
 * client sent a payload; otherwise the number belongs to something else, such as Node's own epoll.
 *
 * @returns `undefined` if the file descriptor is neither a pipe nor a regular file
 * @throws {@link OcicryptError} `PAYLOAD_INVALID`
 */
export async function readPayload(fd: number, signal: AbortSignal): Promise<Payload | undefined> {
  const stream = openInput(fd);
  if (stream === undefined) return undefined;
  addAbortSignal(signal, stream);
  const chunks: Buffer[] = [];
  let message: Buffer | undefined;
  try {
    let size = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.byteLength;
      if (size > MAX_PAYLOAD_SIZE) throw invalid(`it is larger than ${String(MAX_PAYLOAD_SIZE)} bytes`); // prettier-ignore
    }
    message = Buffer.concat(chunks);
    return parsePayload(message);
  } catch (error) {
    if (errno(error) === undefined || isOcicryptError(error) || signal.aborted) throw error;
    throw invalid(`it cannot be read (${errno(error) ?? ""})`, error);
  } finally {
    // Private keys and passwords may be in it.
    for (const chunk of chunks) chunk.fill(0);
    message?.fill(0);
  }
}

const PAYLOAD = /* @__PURE__ */ struct({
  DecryptConfig: struct({ Parameters: MAP }),
  Descriptor: DESCRIPTOR,
});

/**
 * Parses a payload: a protobuf `Any` whose value is JSON.
 *
 * @throws {@link OcicryptError} `PAYLOAD_INVALID`; no message quotes a parameter
 */
export function parsePayload(message: Uint8Array): Payload {
  const { typeUrl, value } = parseAny(message);
  if (typeUrl !== TYPE_URL) throw invalid(`its type is ${shown(typeUrl)}, not ${TYPE_URL}`);
  const notJson = (): OcicryptError =>
    invalid("it is not JSON, or readers could disagree about it");
  const json = parseJson(value, { shape: PAYLOAD, maxSize: MAX_PAYLOAD_SIZE, refuse: notJson });
  const { Descriptor: descriptor, DecryptConfig: config = {} } = requireObject(json, () =>
    invalid("it is not a JSON object"),
  );
  const decryptConfig = requireObject(config, () => invalid("its DecryptConfig is not an object"));
  return {
    descriptor: readPayloadDescriptor(descriptor),
    parameters: readParameters(decryptConfig.Parameters ?? {}),
  };
}

function readPayloadDescriptor(value: unknown): Descriptor {
  try {
    return readDescriptor(value, "the descriptor");
  } catch (error) {
    if (!isOcicryptError(error)) throw error;
    throw invalid("it has no valid descriptor of the layer", error);
  }
}

/** Go's `map[string][][]byte`: lists of base64, in which `null` is an absent password. */
function readParameters(value: unknown): Parameters {
  const object = asObject(value);
  if (object === undefined) throw invalid("its parameters are not an object");
  const parameters = new Map<string, (Uint8Array | undefined)[]>();
  for (const [name, list] of Object.entries(object)) {
    if (list === null) continue;
    if (!Array.isArray(list)) throw invalid(`its parameter ${shown(name)} is not a list`);
    parameters.set(
      name,
      (list as unknown[]).map((item) => readBytes(item, name)),
    );
  }
  return parameters;
}

function readBytes(item: unknown, name: string): Uint8Array | undefined {
  if (item === null) return undefined;
  const bytes = typeof item === "string" ? decodeBase64(item) : null;
  if (bytes === null) throw invalid(`its parameter ${shown(name)} is not base64`);
  return bytes;
}

/** Overwrites the keys and passwords of a payload. */
export function wipeParameters(parameters: Parameters): void {
  for (const list of parameters.values()) for (const bytes of list) bytes?.fill(0);
}

/**
 * Splits a `google.protobuf.Any` into its two fields, both length-delimited:
 * https://protobuf.dev/programming-guides/encoding/
 */
function parseAny(message: Uint8Array): { typeUrl: string; value: Uint8Array } {
  const fields = new Map<number, Uint8Array>();
  for (let offset = 0; offset < message.byteLength;) {
    const tag = readVarint(message, offset);
    const length = readVarint(message, tag.next);
    const end = length.next + length.value;
    const field = tag.value >> 3;
    if ((tag.value & 7) !== 2 || fields.has(field)) throw invalid("it is not a protobuf Any");
    if (end > message.byteLength) throw invalid("it is cut off");
    fields.set(field, message.subarray(length.next, end));
    offset = end;
  }
  const typeUrl = fields.get(1);
  const value = fields.get(2);
  if (typeUrl === undefined || value === undefined) throw invalid("it is cut off");
  return { typeUrl: Buffer.from(typeUrl).toString(), value };
}

function readVarint(message: Uint8Array, start: number): { value: number; next: number } {
  let value = 0;
  // Four bytes of seven bits are more than a payload may have.
  for (let i = 0; i < 4; i++) {
    const byte = message[start + i];
    if (byte === undefined) throw invalid("it is cut off");
    value += (byte % 0x80) * 0x80 ** i;
    if (byte < 0x80) return { value, next: start + i + 1 };
  }
  throw invalid("it is not a protobuf Any");
}

function invalid(why: string, cause?: unknown): OcicryptError {
  const message = `the payload of the client cannot be used: ${why}`;
  return new OcicryptError("PAYLOAD_INVALID", message, cause === undefined ? {} : { cause });
}
