import { lstat } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { printable, reasonOf } from "../../text/printable.js";
import { decodeMessage, encodeField, encodeMessage, METHODS } from "./grpc.js";
import { MAX_MESSAGE_SIZE, type Operation } from "./messages.js";

/*
 * ttrpc, the transport of confidential containers: gRPC's messages over a socket, without HTTP,
 * https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md
 */

/** Answers one call. */
export type Handle = (
  operation: Operation,
  request: Uint8Array,
  signal: AbortSignal,
) => Promise<Uint8Array>;

const HEADER_SIZE = 10;
const REQUEST = 1;
const RESPONSE = 2;
/** Room for the message with its names. */
const MAX_FRAME_SIZE: number = MAX_MESSAGE_SIZE + 64 * 1024;
/** Codes of gRPC: https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
const CODES = { INVALID_ARGUMENT: 3, NOT_FOUND: 5, UNIMPLEMENTED: 12, UNKNOWN: 2 } as const;

export type StatusName = keyof typeof CODES;

/**
 * Serves key provider calls over ttrpc at the path of a socket.
 *
 * @param statusOf the status of a failed call
 */
export async function listenTtrpc(
  path: string,
  handle: Handle,
  statusOf: (error: unknown) => StatusName,
): Promise<{ close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const abort = new AbortController();
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      abort.abort();
    });
    readFrames(socket, (stream, body) => {
      void answer(body, handle, statusOf, abort.signal).then((response) => {
        if (socket.writable) socket.write(frame(stream, response));
      });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(path, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Until its mode is set, anyone who can enter the directory of a socket could connect to it. */
export async function requireOwnDirectory(directory: string): Promise<void> {
  const uid = process.getuid?.();
  if (uid === undefined) return;
  const { uid: owner, mode } = await lstat(directory);
  if (owner === uid && (mode & 0o077) === 0) return;
  throw new Error(
    `the directory ${printable(directory, 300)} of the socket is open to other users; ` +
      "use one that belongs to this user, with mode 0700",
  );
}

/** Calls back for each request; ends the connection at a frame that is not one. */
function readFrames(socket: Socket, onRequest: (stream: number, body: Buffer) => void): void {
  let chunks: Buffer[] = [];
  let size = 0;
  let needed = HEADER_SIZE;
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.byteLength;
    while (size >= needed) {
      const bytes = Buffer.concat(chunks);
      const end = HEADER_SIZE + bytes.readUInt32BE(0);
      if (end > MAX_FRAME_SIZE || bytes[8] !== REQUEST) {
        socket.destroy();
        return;
      }
      const isWhole = bytes.byteLength >= end;
      if (isWhole) onRequest(bytes.readUInt32BE(4), Buffer.from(bytes.subarray(HEADER_SIZE, end)));
      const rest = isWhole ? bytes.subarray(end) : bytes;
      [chunks, size, needed] = [[rest], rest.byteLength, isWhole ? HEADER_SIZE : end];
    }
  });
}

function frame(stream: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(HEADER_SIZE);
  header.writeUInt32BE(body.byteLength, 0);
  header.writeUInt32BE(stream, 4);
  header[8] = RESPONSE;
  return Buffer.concat([header, body]);
}

async function answer(
  body: Buffer,
  handle: Handle,
  statusOf: (error: unknown) => StatusName,
  signal: AbortSignal,
): Promise<Buffer> {
  const request = parseFields(body);
  const method = `/${textOf(request?.get(1))}/${textOf(request?.get(2))}`;
  const operation = (["keywrap", "keyunwrap"] as const).find((each) => METHODS[each] === method);
  if (request === undefined || operation === undefined) {
    return failure("UNIMPLEMENTED", "there is no such method");
  }
  const message = decodeMessage(request.get(3) ?? new Uint8Array());
  if (message === null)
    return failure("INVALID_ARGUMENT", "the message is not one of the protocol");
  try {
    const result = Buffer.from(await handle(operation, message, signal));
    return Buffer.concat([encodeField(1, Buffer.alloc(0)), encodeField(2, encodeMessage(result))]);
  } catch (error) {
    return failure(statusOf(error), reasonOf(error));
  }
}

/** `google.rpc.Status` in the first field of a response. */
function failure(name: StatusName, message: string): Buffer {
  const status = [Buffer.from([0x08, CODES[name]]), encodeField(2, Buffer.from(message))];
  return encodeField(1, Buffer.concat(status));
}

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("latin1");
}

/**
 * Returns the last bytes of each field of a message, without its numbers:
 * https://protobuf.dev/programming-guides/encoding/
 *
 * @returns `undefined` for bytes that are not a message
 */
function parseFields(message: Buffer): Map<number, Buffer> | undefined {
  const fields = new Map<number, Buffer>();
  let offset = 0;
  const varint = (): number => {
    let value = 0;
    // A negative number has ten bytes.
    for (let i = 0; i < 10; i++) {
      const byte = message[offset++] ?? 0x80;
      value += (byte % 0x80) * 0x80 ** i;
      if (byte < 0x80) return value;
    }
    return NaN;
  };
  while (offset < message.byteLength) {
    const tag = varint();
    const value = varint();
    if (Number.isNaN(tag + value)) return undefined;
    if (tag % 8 === 0) continue;
    if (tag % 8 !== 2 || offset + value > message.byteLength) return undefined;
    fields.set(Math.floor(tag / 8), message.subarray(offset, offset + value));
    offset += value;
  }
  return fields;
}
