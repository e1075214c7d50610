import { chmodSync, statSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  serveKeyProvider,
  type KeyProvider,
  type KeyProviderServer,
} from "../../../src/keywrap/provider/index.js";
import { temporaryDirectories } from "../../support/image.js";
import { call, field, frame } from "../../support/ttrpc.js";

const newDirectory = temporaryDirectories();

const WRAP = Buffer.from('{"op":"keywrap","keywrapparams":{"ec":null,"optsdata":"b2s="}}');
const UNWRAP = Buffer.from('{"op":"keyunwrap","keyunwrapparams":{"dc":null,"annotation":"eD5vaw=="}}'); // prettier-ignore
const FOREIGN = Buffer.from('{"op":"keyunwrap","keyunwrapparams":{"dc":null,"annotation":"eQ=="}}');

const provider: KeyProvider = {
  wrapKey: ({ bytes }) => Promise.resolve(Buffer.concat([Buffer.from("x>"), bytes])),
  unwrapKey: ({ bytes }) => {
    const text = Buffer.from(bytes).toString();
    return Promise.resolve(text.startsWith("x>") ? Buffer.from(text.slice(2)) : null);
  },
};

let path: string;
let address: string;
let socket: Socket;
let server: KeyProviderServer;
let received: Buffer;

beforeEach(async () => {
  const directory = newDirectory();
  chmodSync(directory, 0o700);
  path = join(directory, "s");
  address = `unix://${path}`;
  server = await serveKeyProvider(provider, { transport: "ttrpc", address });
  received = Buffer.alloc(0);
  socket = createConnection(path);
  socket.on("data", (chunk) => (received = Buffer.concat([received, chunk])));
  socket.on("error", () => undefined);
});
afterEach(async () => {
  socket.destroy();
  await server.close();
});

/** Waits for as many frames; each as its stream, its type and its body. */
async function frames(count: number): Promise<[number, number, Buffer][]> {
  for (;;) {
    const all: [number, number, Buffer][] = [];
    for (let at = 0; received.length >= at + 10;) {
      const end = at + 10 + received.readUInt32BE(at);
      if (received.length < end) break;
      all.push([received.readUInt32BE(at + 4), received[at + 8]!, received.subarray(at + 10, end)]);
      at = end;
    }
    if (all.length >= count) return all;
    await new Promise((resolve) => socket.once("data", resolve));
  }
}

/** The answer that a response has; its status is empty. */
const success = (json: string): Buffer => Buffer.concat([field(1, ""), field(2, field(1, json))]);

describe("a ttrpc server", () => {
  it("wraps and unwraps, with answers in numbers", async () => {
    socket.write(frame(1, call("WrapKey", WRAP)));
    expect(await frames(1)).toEqual([
      [1, 2, success('{"keywrapresults":{"annotation":[120,62,111,107]}}')],
    ]);
    socket.write(frame(3, call("UnWrapKey", UNWRAP)));
    expect((await frames(2))[1]).toEqual([
      3,
      2,
      success('{"keyunwrapresults":{"optsdata":[111,107]}}'),
    ]);
  });

  it("reads requests in any pieces, and several at once", async () => {
    const bytes = Buffer.concat([1, 3, 5].map((stream) => frame(stream, call("WrapKey", WRAP))));
    for (const byte of bytes.subarray(0, 400)) socket.write(Buffer.from([byte]));
    socket.write(bytes.subarray(400));
    expect((await frames(3)).map(([stream]) => stream).sort()).toEqual([1, 3, 5]);
  });

  it.each([
    ["another wrapped key", call("UnWrapKey", FOREIGN), 5],
    ["a contradiction", call("WrapKey", UNWRAP), 3],
    ["no JSON", call("WrapKey", Buffer.from("{")), 3],
    ["another method", call("Other", WRAP), 12],
    ["another service", call("WrapKey", WRAP, "other.Service"), 12],
    ["no protobuf", Buffer.from([0xff, 0xff]), 12],
    ["a field that is too long", Buffer.from([0x0a, 0x7f, 0x00]), 12],
    ["nothing", Buffer.alloc(0), 12],
  ] as const)("answers %s with a status", async (_, request, code) => {
    socket.write(frame(7, request));
    const [[stream, type, body]] = (await frames(1)) as [[number, number, Buffer]];
    expect([stream, type, body[0]]).toEqual([7, 2, 0x0a]);
    // The status: field 1 is the code, field 2 the message.
    const status = body.subarray(body[1]! < 128 ? 2 : 3);
    expect([...status.subarray(0, 3)]).toEqual([0x08, code, 0x12]);
  });

  it.each([
    ["is longer than any request", Buffer.from("ffffffff000000010100", "hex")],
    ["is no request", frame(1, Buffer.from("a"), 3)],
  ])("ends a connection whose frame %s", async (_, bytes) => {
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(bytes);
    await closed;
    expect(received.length).toBe(0);
  });

  it("is for this user only", async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const open = newDirectory();
    chmodSync(open, 0o755);
    const other = { transport: "ttrpc", address: `unix://${join(open, "s")}` } as const;
    await expect(serveKeyProvider(provider, other)).rejects.toThrow(/open to other users/);
    const tcp = { transport: "ttrpc", address: "127.0.0.1:0" } as const;
    await expect(serveKeyProvider(provider, tcp)).rejects.toThrow(/unix/);
  });
});
