import { type AddressInfo, createServer, type Server as TcpServer } from "node:net";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import * as grpc from "@grpc/grpc-js";
import { afterEach, describe, expect, it, vi } from "vitest";
import { decodeMessage, encodeMessage, loadGrpc } from "../../../src/keywrap/provider/grpc.js";
import {
  type Key,
  type KeyProvider,
  type KeyProviderServer,
  provider,
  type ProviderTls,
  type Recipient,
  type ServeGrpcOptions,
  serveKeyProvider,
} from "../../../src/keywrap/provider/index.js";
import { configure, temporaryFolder } from "./script.js";

const folder = temporaryFolder();
const SECRET: Uint8Array = Buffer.from("the secret of a layer");

const file = (name: string): string => fileURLToPath(new URL(`tls/${name}.pem`, import.meta.url));
const pem = (name: string): Buffer => readFileSync(file(name));

/** Turns every bit; says no to one byte, fails for two. */
const turning: KeyProvider = {
  wrapKey: ({ bytes }) => Promise.resolve(bytes.map((byte) => byte ^ 0xff)),
  unwrapKey: ({ bytes }) => {
    if (bytes.byteLength === 1) return Promise.resolve(null);
    if (bytes.byteLength === 2) return Promise.reject(new Error("the seal\nis broken"));
    return Promise.resolve(bytes.map((byte) => byte ^ 0xff));
  },
};

const open: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function serve(
  options: Partial<ServeGrpcOptions> = {},
  served: KeyProvider = turning,
): Promise<KeyProviderServer> {
  const server = await serveKeyProvider(served, {
    transport: "grpc",
    address: "localhost:0",
    ...options,
  });
  open.push(server);
  return server;
}

interface Client {
  recipient: Recipient;
  key: Key;
}

function connect(address: string, tls?: ProviderTls, timeout = 5000): Client {
  const config = configure("p", { grpc: address, ...(tls && { "grpc-tls": tls }) });
  return {
    recipient: provider.recipient("p", { config, timeout }),
    key: provider.key("p", { config, timeout }),
  };
}

async function roundTrip({ recipient, key }: Client): Promise<void> {
  const wrapped = await recipient.wrap(SECRET);
  expect(Buffer.from(wrapped)).not.toEqual(SECRET);
  expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
}

/** A server with methods of our own making, to misbehave. */
async function serveRaw(handler: grpc.handleUnaryCall<Buffer, Buffer>): Promise<string> {
  const server = new grpc.Server();
  const identity = (message: Buffer): Buffer => message;
  const method = "/keyprovider.KeyProviderService/UnWrapKey";
  server.register(method, handler, identity, identity, "unary");
  open.push({
    close: () => {
      server.forceShutdown();
    },
  });
  const credentials = grpc.ServerCredentials.createInsecure();
  return await new Promise((resolve, reject) => {
    server.bindAsync("localhost:0", credentials, (error, port) => {
      if (error === null) resolve(`localhost:${String(port)}`);
      else reject(error);
    });
  });
}

describe("over gRPC", () => {
  it("works over TCP", async () => {
    const { address } = await serve();
    expect(address).toMatch(/^localhost:[1-9]\d*$/);
    await roundTrip(connect(address));
  });

  it("works with an address as Rust writes it", async () => {
    await roundTrip(connect(`tcp://${(await serve()).address}`));
  });

  it.skipIf(process.platform === "win32")("works over a unix socket", async () => {
    const { address } = await serve({ address: `unix://${join(folder, "socket")}` });
    expect(address).toBe(`unix://${join(folder, "socket")}`);
    await roundTrip(connect(address));
  });

  it.skipIf(process.platform === "win32")("allows only its own user to connect", async () => {
    const socket = join(folder, "private-socket");
    await serve({ address: `unix://${socket}` });
    expect(statSync(socket).mode & 0o777).toBe(0o600);
  });

  it.skipIf(process.platform === "win32")("serves no socket that others can reach", async () => {
    const directory = join(folder, "shared");
    mkdirSync(directory);
    const address = `unix:${join(directory, "socket")}`;
    await expect(serve({ address })).rejects.toThrow(/open to other users; use one .* mode 0700/);
  });

  it("asks a server on this machine directly, whatever proxy the environment names", async () => {
    const seen: Buffer[] = [];
    const proxy = createServer((socket) => {
      socket.on("data", (chunk) => seen.push(chunk));
      socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    open.push(proxy);
    const { port } = proxy.address() as AddressInfo;
    const names = ["http_proxy", "https_proxy", "grpc_proxy"];
    for (const name of names) vi.stubEnv(name, `http://127.0.0.1:${String(port)}`);
    try {
      await roundTrip(connect((await serve()).address));
      expect(seen).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("does not return the secret in an error of the server", async () => {
    const quoting: KeyProvider = {
      ...turning,
      wrapKey: ({ bytes }) => Promise.reject(new Error(`cannot parse ${bytes.toString()}`)),
    };
    const { recipient } = connect((await serve({}, quoting)).address);
    const error: unknown = await recipient.wrap(SECRET).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "PROVIDER_FAILED", message: /cannot parse/ });
    expect(inspect(error, { depth: 10 })).not.toMatch(/116,\s?104,\s?101|secret of a/);
  });

  it("answers in numbers", async () => {
    await roundTrip(connect((await serve({ encoding: "numbers" })).address));
  });

  it("passes the parameters to the provider", async () => {
    const seen: (readonly string[])[] = [];
    const asking: KeyProvider = {
      ...turning,
      wrapKey: (request) => {
        seen.push(request.params);
        return turning.wrapKey(request);
      },
    };
    const { address } = await serve({ name: "p" }, asking);
    const config = configure("p", { grpc: address });
    await provider.recipient("p", { config, params: "a:b" }).wrap(SECRET);
    expect(seen).toEqual([["a:b"]]);
  });

  it("passes on the provider's message", async () => {
    const { key } = connect((await serve()).address);
    await expect(key.unwrap(Buffer.of(1))).rejects.toMatchObject({
      code: "PROVIDER_FAILED",
      message: 'key provider "p" answered NOT_FOUND: the wrapped key belongs to another provider',
    });
    await expect(key.unwrap(Buffer.of(1, 2))).rejects.toMatchObject({
      code: "PROVIDER_FAILED",
      message: 'key provider "p" answered UNKNOWN: the seal is broken',
    });
  });

  it("fails if no server listens", async () => {
    const server = await serve();
    await server.close();
    open.length = 0;
    await expect(connect(server.address).key.unwrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_FAILED",
      message: expect.stringMatching(/answered UNAVAILABLE: .*ECONNREFUSED/) as string,
    });
  });

  it("fails with a server of another kind", async () => {
    const server = new grpc.Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("localhost:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    open.push({
      close: () => {
        server.forceShutdown();
      },
    });
    await expect(connect(`localhost:${String(port)}`).key.unwrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_FAILED",
      message: expect.stringContaining("UNIMPLEMENTED") as string,
    });
  });

  it("ends at the deadline, and aborts the provider", async () => {
    let stopped: () => void;
    const hears = new Promise<void>((resolve) => {
      stopped = resolve;
    });
    const silent: KeyProvider = {
      ...turning,
      unwrapKey: ({ signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            stopped();
            reject(new Error("stopped"));
          });
        }),
    };
    const { address } = await serve({}, silent);
    await expect(connect(address, undefined, 200).key.unwrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_TIMEOUT",
      message: expect.stringContaining("200 ms") as string,
    });
    await hears;
  });

  it("ends at the deadline if the server stays silent", async () => {
    const mute: TcpServer = createServer().listen(0, "localhost");
    await new Promise((resolve) => mute.once("listening", resolve));
    open.push({ close: () => mute.close() });
    const { port } = mute.address() as AddressInfo;
    await expect(
      connect(`localhost:${String(port)}`, undefined, 200).key.unwrap(SECRET),
    ).rejects.toMatchObject({ code: "PROVIDER_TIMEOUT" });
  });

  it("ends when its caller has left", async () => {
    const { address } = await serve({}, { ...turning, unwrapKey: () => new Promise(() => null) });
    const controller = new AbortController();
    const unwrapping = connect(address).key.unwrap(SECRET, { signal: controller.signal });
    setTimeout(() => {
      controller.abort(new Error("gone"));
    }, 100);
    await expect(unwrapping).rejects.toThrow("gone");
  });

  it.each<[string, Buffer, RegExp]>([
    ["nothing", Buffer.alloc(0), /it is empty$/],
    ["another message", Buffer.from("0801", "hex"), /not a message of the protocol$/],
    ["a length that lies", Buffer.from("0a7f00", "hex"), /not a message of the protocol$/],
    ["garbage in the message", Buffer.from("0a0168", "hex"), /not a JSON object$/],
    ["5 MB", Buffer.alloc(5_000_000, 0x0a), /it is too large$/],
  ])("rejects %s", async (_what, answer, reason) => {
    const address = await serveRaw((_call, callback) => {
      callback(null, answer);
    });
    await expect(connect(address).key.unwrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_INVALID_RESPONSE",
      message: expect.stringMatching(reason) as string,
    });
  });

  it("reports the server's own timeout", async () => {
    const address = await serveRaw((_call, callback) => {
      callback({ code: grpc.status.DEADLINE_EXCEEDED, details: "the HSM is busy" });
    });
    await expect(connect(address).key.unwrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_TIMEOUT",
      message: expect.stringContaining("the HSM is busy") as string,
    });
  });

  it.each<[string, string, Uint8Array, string]>([
    ["no message", "WrapKey", Buffer.from("ff", "hex"), "not a JSON object"],
    ["no request", "WrapKey", Buffer.from("0a0178", "hex"), "not a JSON object"],
    [
      "a request for the other method",
      "WrapKey",
      encodeMessage(Buffer.from('{"op":"keyunwrap","keyunwrapparams":{"annotation":"AA=="}}')),
      "the method that was called is for keywrap",
    ],
  ])("serves no client that sends %s", async (_what, method, message, reason) => {
    const { address } = await serve();
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      const identity = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
      const path = `/keyprovider.KeyProviderService/${method}`;
      client.makeUnaryRequest(path, identity, identity, message, resolve);
    });
    client.close();
    expect(error).toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
      details: expect.stringContaining(reason) as string,
    });
  });

  it("is closed even while a provider takes its time", async () => {
    const server = await serve({}, { ...turning, unwrapKey: () => new Promise(() => null) });
    open.length = 0;
    const unwrapping = connect(server.address, undefined, 9000).key.unwrap(SECRET);
    const failing = expect(unwrapping).rejects.toMatchObject({ code: "PROVIDER_FAILED" });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await server.close();
    await failing;
  });

  it("cannot listen where another server does", async () => {
    const { address } = await serve();
    await expect(serve({ address })).rejects.toThrow("EADDRINUSE");
  });
});

describe("over TLS", () => {
  const tls = { cert: pem("server"), key: pem("server.key") };
  const trust = { "root-ca-file": file("ca") };
  const client = { "cert-file": file("client"), "key-file": file("client.key") };
  const stranger = { "cert-file": file("stranger"), "key-file": file("stranger.key") };
  const failure = (message: RegExp): object => ({
    code: "PROVIDER_FAILED",
    message: expect.stringMatching(message) as string,
  });

  it("works", async () => {
    await roundTrip(connect((await serve({ tls })).address, trust));
  });

  it("works with a server name that differs from the address", async () => {
    const { address } = await serve({ tls });
    await roundTrip(connect(address, { ...trust, "server-name": "provider.test" }));
  });

  it("works with a client certificate", async () => {
    const { address } = await serve({ tls: { ...tls, clientCa: pem("ca") } });
    await roundTrip(connect(address, { ...trust, ...client }));
  });

  it("works without verification if configured", async () => {
    const { address } = await serve({ tls });
    await roundTrip(connect(address, { "insecure-skip-verify": true }));
  });

  it.each<[string, ProviderTls, RegExp]>([
    ["that is not trusted", {}, /UNAVAILABLE/],
    ["of another name", { ...trust, "server-name": "other.test" }, /UNAVAILABLE.*other\.test/],
  ])("rejects a server %s", async (_what, options, message) => {
    const { address } = await serve({ tls });
    await expect(connect(address, options).recipient.wrap(SECRET)).rejects.toMatchObject(
      failure(message),
    );
  });

  it("rejects a server of another authority", async () => {
    const { address } = await serve({ tls: { cert: pem("stranger"), key: pem("stranger.key") } });
    await expect(connect(address, trust).recipient.wrap(SECRET)).rejects.toMatchObject(
      failure(/UNAVAILABLE/),
    );
  });

  it("rejects a server without TLS, and a client without", async () => {
    const plain = await serve();
    await expect(connect(plain.address, trust).recipient.wrap(SECRET)).rejects.toMatchObject(
      failure(/UNAVAILABLE/),
    );
    const secure = await serve({ tls });
    await expect(connect(secure.address).recipient.wrap(SECRET)).rejects.toMatchObject(
      failure(/UNAVAILABLE/),
    );
  });

  it.each<[string, ProviderTls]>([
    ["without a certificate", trust],
    ["of another authority", { ...trust, ...stranger }],
  ])("rejects a client %s", async (_what, options) => {
    const { address } = await serve({ tls: { ...tls, clientCa: pem("ca") } });
    await expect(connect(address, options).recipient.wrap(SECRET)).rejects.toMatchObject(
      failure(/UNAVAILABLE/),
    );
  });

  it.each<[string, ProviderTls, RegExp]>([
    ["that are missing", { "root-ca-file": join(folder, "missing.pem") }, /ENOENT/],
    ["without a certificate", { "root-ca-file": file("server.key") }, /TLS files/],
    [
      "that do not belong together",
      { ...trust, "cert-file": file("client"), "key-file": file("stranger.key") },
      /TLS files/,
    ],
  ])("rejects files %s", async (_what, options, message) => {
    const { recipient } = connect("localhost:1", options);
    await expect(recipient.wrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_CONFIG_INVALID",
      message: expect.stringMatching(message) as string,
    });
  });

  it("cannot serve with an invalid key", async () => {
    await expect(serve({ tls: { cert: pem("server"), key: "nothing" } })).rejects.toThrow();
  });
});

describe("the gRPC package", () => {
  it("is named when it is missing", async () => {
    const missing = Object.assign(new Error("Cannot find package"), {
      code: "ERR_MODULE_NOT_FOUND",
    });
    await expect(loadGrpc(() => Promise.reject(missing))).rejects.toMatchObject({
      code: "PACKAGE_MISSING",
      message: expect.stringContaining("npm install @grpc/grpc-js") as string,
    });
  });

  it("is not reported missing if it is broken", async () => {
    const broken = new SyntaxError("Unexpected token");
    await expect(loadGrpc(() => Promise.reject(broken))).rejects.toBe(broken);
  });
});

// Varints by https://protobuf.dev/programming-guides/encoding/#varints
const HEADERS: [number, string][] = [
  [0, "0a00"],
  [1, "0a01"],
  [127, "0a7f"],
  [128, "0a8001"],
  [150, "0a9601"],
  [16383, "0aff7f"],
  [16384, "0a808001"],
  [2097152, "0a80808001"],
];

describe("the message with one field", () => {
  it.each(HEADERS)("of %i bytes", (size, header) => {
    const content = Buffer.alloc(size, 7);
    const message = encodeMessage(content);
    expect(Buffer.from(message).toString("hex", 0, header.length / 2)).toBe(header);
    expect(message.byteLength).toBe(header.length / 2 + size);
    expect(content.equals(decodeMessage(message)!)).toBe(true);
  });

  it("may omit the field", () => {
    expect(decodeMessage(new Uint8Array())).toEqual(new Uint8Array());
  });

  it("may write a length with surplus bytes", () => {
    expect(decodeMessage(Buffer.from("0a818000aa", "hex"))).toEqual(Buffer.of(0xaa));
  });

  it.each([
    ["another field", "1201aa"],
    ["another wire type", "0801"],
    ["no length", "0a"],
    ["half a length", "0a80"],
    ["a length without end", "0affffffffffffffffffff01"],
    ["a length of five bytes", "0a8180808000aa"],
    ["a length above what there is", "0a02aa"],
    ["a length above every limit", "0affffff7f"],
    ["bytes behind it", "0a01aabb"],
    ["the field twice", "0a01aa0a01bb"],
  ])("is not %s", (_what, hex) => {
    expect(decodeMessage(Buffer.from(hex, "hex"))).toBeNull();
  });
});
