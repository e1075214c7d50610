import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import type { ErrorCode, OcicryptError } from "../../src/errors.js";
import {
  registrySource,
  type RegistryOptions,
  type RegistryReference,
  type RegistryRetry,
} from "../../src/registry/index.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import { verified } from "../../src/io/content.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import {
  at,
  digestOf,
  INDEX,
  MANIFEST,
  numbered,
  QUICK,
  refuse,
  reply,
  testRegistry,
  testServer,
  type SeenRequest,
  type TestRegistry,
} from "./server.js";

const LAYER = "application/vnd.oci.image.layer.v1.tar";
const BLOB = numbered(300_000);

async function withBlob(): Promise<{ registry: TestRegistry; blob: Descriptor }> {
  const registry = await testRegistry();
  return { registry, blob: { mediaType: LAYER, ...registry.putBlob("app", BLOB) } };
}

/** Much faster than comparing byte by byte, as `toEqual` does. */
function expectBlob(bytes: Buffer): void {
  expect(bytes.equals(BLOB), `${String(bytes.byteLength)} bytes`).toBe(true);
}

/** Reads a blob as an image operation does: verified. */
function read(
  registry: TestRegistry,
  blob: Descriptor,
  options: RegistryOptions = QUICK,
): Promise<Buffer> {
  return collect(verified(registrySource(at(registry, "app"), options).read(blob), blob));
}

const isBlob = ({ method, target }: SeenRequest): boolean =>
  method === "GET" && target.includes("/blobs/");

/** Sends the start of what was promised, then closes the connection. */
function breakOff(response: ServerResponse, part: Uint8Array, status = 200, headers = {}): true {
  response.writeHead(status, headers);
  response.write(part, () => {
    setTimeout(() => response.destroy(), 20);
  });
  return true;
}

const LENGTH = { "content-length": String(BLOB.byteLength) };

describe("blobs", () => {
  it("are read completely", async () => {
    const { registry, blob } = await withBlob();
    expectBlob(await read(registry, blob));
    expect(registry.log()).toEqual([`GET /v2/app/blobs/${blob.digest}`]);
  });

  it.each([0, 1])("of %s bytes are also read", async (size) => {
    const { registry } = await withBlob();
    const blob = { mediaType: LAYER, ...registry.putBlob("app", numbered(size)) };
    expect(await read(registry, blob)).toEqual(numbered(size));
  });

  it("share connections", async () => {
    const { registry, blob } = await withBlob();
    const source = registrySource(at(registry, "app"), QUICK);
    for (let i = 0; i < 5; i++) await collect(source.read(blob));
    // undici opens another one where a request comes before it has put the first one back.
    expect(new Set(registry.requests.map(({ port }) => port)).size).toBeLessThanOrEqual(2);
  });

  it("are read through the global fetch", async () => {
    const { registry, blob } = await withBlob();
    let count = 0;
    registry.script = (request, response) =>
      isBlob(request) && count++ === 0 && breakOff(response, BLOB.subarray(0, 70_000), 200, LENGTH);
    expectBlob(await read(registry, blob, { ...QUICK, fetch: globalThis.fetch }));
    expect(registry.requests.map(({ headers }) => headers.range)).toEqual([
      undefined,
      expect.stringMatching(/^bytes=\d+-$/),
    ]);
  });

  it("resume where a connection broke, without repeated or missing bytes", async () => {
    const { registry, blob } = await withBlob();
    let count = 0;
    registry.script = (request, response) => {
      if (!isBlob(request) || count++ >= 2) return false;
      const start = Number(/\d+/.exec(request.headers.range ?? "0")![0]);
      const rest = { "content-length": String(BLOB.byteLength - start) };
      const range = `bytes ${String(start)}-299999/300000`;
      const headers = start === 0 ? rest : { ...rest, "content-range": range };
      return breakOff(
        response,
        BLOB.subarray(start, start + 100_001),
        start === 0 ? 200 : 206,
        headers,
      );
    };
    expectBlob(await read(registry, blob));
    const ranges = registry.requests.map(({ headers }) => headers.range);
    expect(ranges).toEqual([undefined, "bytes=100001-", "bytes=200002-"]);
  });

  it("resume after the received bytes if the registry does not support ranges", async () => {
    const { registry, blob } = await withBlob();
    let count = 0;
    registry.script = (_, response) =>
      count++ === 0
        ? breakOff(response, BLOB.subarray(0, 150_000), 200, LENGTH)
        : reply(response, 200, {}, BLOB);
    expectBlob(await read(registry, blob));
    expect(registry.requests[1]!.headers.range).toBe("bytes=150000-");
  });

  it("end when nothing is missing, however the connection ends", async () => {
    const { registry, blob } = await withBlob();
    registry.script = (_, response) =>
      breakOff(response, BLOB, 200, { "transfer-encoding": "chunked" });
    expectBlob(await read(registry, blob));
    expect(registry.requests).toHaveLength(1);
  });

  it.each<[string, number, string]>([
    ["another part", 206, "bytes 99-299999/300000"],
    ["a part that ends early", 206, "bytes 100000-200000/300000"],
    ["a part of something else", 206, "bytes 100000-299999/400000"],
    ["no range", 206, ""],
    ["several ranges", 206, "bytes 0-1/300000, 5-6/300000"],
    ["nothing to send", 416, "bytes */300000"],
    ["no content", 204, ""],
  ])("are rejected if the rest is %s", async (_, status, range) => {
    const { registry, blob } = await withBlob();
    let count = 0;
    registry.script = (_, response) =>
      count++ === 0
        ? breakOff(response, BLOB.subarray(0, 100_000), 200, LENGTH)
        : reply(
            response,
            status,
            range === "" ? {} : { "content-range": range },
            BLOB.subarray(100_000),
          );
    await expectCode(read(registry, blob), "REGISTRY_INVALID_RESPONSE");
  });

  it("fail after several tries without progress", async () => {
    const { registry, blob } = await withBlob();
    registry.script = (request, response) => {
      const isFirst = request.headers.range === undefined;
      if (isFirst) return breakOff(response, BLOB.subarray(0, 100_000), 200, LENGTH);
      response.destroy();
      return true;
    };
    await expectCode(read(registry, blob), "REGISTRY_UNREACHABLE");
    expect(registry.requests.length).toBeLessThan(12);
  });

  it.each<[string, ErrorCode, (response: ServerResponse) => boolean]>([
    ["too much", "BLOB_SIZE_MISMATCH", (r) => reply(r, 200, {}, Buffer.concat([BLOB, BLOB]))],
    ["too little", "BLOB_SIZE_MISMATCH", (r) => reply(r, 200, {}, BLOB.subarray(1))],
    [
      "something else",
      "BLOB_DIGEST_MISMATCH",
      (r) => reply(r, 200, {}, Buffer.from(BLOB).fill(0, 5, 9)),
    ],
    [
      "a page",
      "BLOB_SIZE_MISMATCH",
      (r) => reply(r, 200, { "content-type": "text/html" }, "<html>"),
    ],
    ["a part unasked", "REGISTRY_INVALID_RESPONSE", (r) => reply(r, 206, {}, BLOB)],
    ["404", "BLOB_NOT_FOUND", (r) => refuse(r, 404, "BLOB_UNKNOWN")],
    ["403", "REGISTRY_DENIED", (r) => refuse(r, 403, "DENIED")],
    ["401 without more", "REGISTRY_DENIED", (r) => reply(r, 401)],
    ["500", "REGISTRY_FAILED", (r) => refuse(r, 500, "UNKNOWN")],
    ["503 for ever", "REGISTRY_FAILED", (r) => reply(r, 503)],
    ["no HTTP", "REGISTRY_INVALID_RESPONSE", (r) => (r.socket!.end("SSH-2.0-x\r\n\r\n"), true)],
    ["nothing at all", "REGISTRY_UNREACHABLE", (r) => (r.destroy(), true)],
  ])("are rejected if the registry sends %s", async (_, code, script) => {
    const { registry, blob } = await withBlob();
    registry.script = (_request, response) => script(response);
    await expectCode(read(registry, blob), code);
  });

  it("without end are closed soon after their size", async () => {
    const { registry, blob } = await withBlob();
    let sent = 0;
    registry.script = (_, response) => {
      const more = (): void => {
        sent += BLOB.byteLength;
        if (!response.destroyed) response.write(BLOB, more);
      };
      more();
      return true;
    };
    const error = await expectCode(
      collect(registrySource(at(registry, "app"), QUICK).read(blob)),
      "BLOB_SIZE_MISMATCH",
    );
    expect(error.message).toContain("300000 bytes");
    expect(sent).toBeLessThan(40 * BLOB.byteLength);
  });

  it("that arrive too slowly fail", async () => {
    const { registry, blob } = await withBlob();
    registry.script = (_, response) => {
      response.writeHead(200, LENGTH);
      const timer = setInterval(() => response.write("x"), 20);
      response.on("close", () => {
        clearInterval(timer);
      });
      return true;
    };
    const start = performance.now();
    const options = { ...QUICK, timeout: 200, retries: 1 };
    const error = await expectCode(read(registry, blob, options), "REGISTRY_UNREACHABLE");
    expect(error.message).toContain("200 ms");
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it("wait for a slow reader", async () => {
    const { registry, blob } = await withBlob();
    const source = registrySource(at(registry, "app"), { ...QUICK, timeout: 300 });
    const chunks: Uint8Array[] = [];
    for await (const chunk of source.read(blob)) {
      if (chunks.length < 3) await sleep(200);
      chunks.push(chunk);
    }
    expectBlob(Buffer.concat(chunks));
    expect(registry.requests).toHaveLength(1);
  });

  it("that are not read to their end leave no connection", async () => {
    const { registry, blob } = await withBlob();
    let isClosed = false;
    registry.script = (_, response) => {
      response.on("close", () => (isClosed = true));
      response.writeHead(200, LENGTH).write(BLOB.subarray(0, 100));
      return true;
    };
    const content = registrySource(at(registry, "app"), QUICK).read(blob)[Symbol.asyncIterator]();
    await content.next();
    await content.return?.();
    await expect.poll(() => isClosed).toBe(true);
  });

  it("stop when they are aborted, with the caller's reason", async () => {
    const { registry, blob } = await withBlob();
    registry.script = (_, response) => {
      response.writeHead(200, LENGTH).write(BLOB.subarray(0, 100));
      return true;
    };
    const controller = new AbortController();
    const reason = new Error("enough");
    const source = registrySource(at(registry, "app"), QUICK);
    const reading = collect(source.read(blob, { signal: controller.signal }));
    setTimeout(() => {
      controller.abort(reason);
    }, 50);
    await expect(reading).rejects.toBe(reason);
  });
});

describe("redirects", () => {
  it("are followed without credentials to another host, with Range", async () => {
    const { registry, blob } = await withBlob();
    let count = 0;
    const other = await testServer((_, response) =>
      count++ === 0
        ? breakOff(response, BLOB.subarray(0, 100_000), 200, LENGTH)
        : reply(
            response,
            206,
            { "content-range": "bytes 100000-299999/300000" },
            BLOB.subarray(100_000),
          ),
    );
    registry.script = (request, response) =>
      request.headers.authorization === undefined
        ? reply(response, 401, { "www-authenticate": 'Basic realm="r"' })
        : isBlob(request) &&
          reply(response, 307, { location: `${other.url}/signed?signature=abc` });
    const credentials = { username: "u", password: "p" };
    expectBlob(await read(registry, blob, { ...QUICK, credentials }));
    expect(registry.requests.at(-1)!.headers.authorization).toMatch(/^Basic /);
    expect(other.requests.map(({ headers }) => [headers.authorization, headers.range])).toEqual([
      [undefined, undefined],
      [undefined, "bytes=100000-"],
    ]);
  });

  it("to another host that asks for credentials send none", async () => {
    const { registry, blob } = await withBlob();
    const challenge = { "www-authenticate": 'Basic realm="r"' };
    const other = await testServer((_, response) => reply(response, 401, challenge));
    registry.script = (_, response) => reply(response, 302, { location: other.url });
    const credentials = { username: "u", password: "p" };
    await expectCode(read(registry, blob, { ...QUICK, credentials }), "REGISTRY_DENIED");
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  it("within the registry keep the credentials", async () => {
    const { registry, blob } = await withBlob();
    registry.script = (request, response) => {
      if (request.headers.authorization === undefined) {
        return reply(response, 401, { "www-authenticate": 'Basic realm="r"' });
      }
      return (
        !request.target.includes("?moved") &&
        reply(response, 301, { location: `${request.target}?moved` })
      );
    };
    const credentials = { username: "u", password: "p" };
    expectBlob(await read(registry, blob, { ...QUICK, credentials }));
  });

  it.each([
    ["to where others can read", "http://192.0.2.1/x"],
    ["with a password", "http://user:password@127.0.0.1/x"],
    ["to a file", "file:///etc/passwd"],
    ["to nowhere", "http://["],
  ])("%s are not followed", async (_, location) => {
    const { registry, blob } = await withBlob();
    registry.script = (_request, response) => reply(response, 302, { location });
    const error = await expectCode(read(registry, blob), "REGISTRY_INVALID_RESPONSE");
    expect(error.message).not.toContain("password");
  });

  it("without end are rejected", async () => {
    const { registry, blob } = await withBlob();
    registry.script = ({ target }, response) => reply(response, 302, { location: `${target}x` });
    await expectCode(read(registry, blob), "REGISTRY_INVALID_RESPONSE");
    expect(registry.requests).toHaveLength(6);
  });
});

it("reports retries", async () => {
  const registry = await testRegistry();
  registry.script = (_, response) => reply(response, 503);
  const seen: RegistryRetry[] = [];
  const onRetry = (retry: RegistryRetry): unknown => seen.push(retry);
  const source = registrySource(at(registry, "app", "v1"), { ...QUICK, retries: 2, onRetry });
  await expectCode(source.resolve(), "REGISTRY_FAILED");
  const reason = `GET ${registry.url}/v2/app/manifests/v1 was answered 503`;
  expect(seen).toEqual([
    { reason, attempt: 1, retries: 2 },
    { reason, attempt: 2, retries: 2 },
  ]);
});

describe("busy registries", () => {
  it.each([429, 502, 503, 504])("are retried after %s", async (status) => {
    const { registry, blob } = await withBlob();
    let count = 0;
    registry.script = (_, response) => count++ < 2 && refuse(response, status, "TOOMANYREQUESTS");
    expectBlob(await read(registry, blob));
  });

  it.each<[string, () => string]>([
    ["seconds", () => "1"],
    ["a date", () => new Date(Date.now() + 2000).toUTCString()],
  ])("are not asked for as long as they request in %s", async (_, value) => {
    const { registry, blob } = await withBlob();
    let count = 0;
    registry.script = (_request, response) =>
      count++ === 0 && reply(response, 429, { "retry-after": value() });
    const start = performance.now();
    await read(registry, blob);
    expect(performance.now() - start).toBeGreaterThan(950);
  });

  it("are not waited for after an abort", async () => {
    const { registry, blob } = await withBlob();
    registry.script = (_request, response) => reply(response, 429, { "retry-after": "50" });
    const reason = new Error("enough");
    const controller = new AbortController();
    const { signal } = controller;
    setTimeout(() => {
      controller.abort(reason);
    }, 100);
    const source = registrySource(at(registry, "app"), QUICK);
    await expect(collect(source.read(blob, { signal }))).rejects.toBe(reason);
  });
});

describe("manifests", () => {
  const TEXT = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config: {}, layers: [] });

  it("are resolved by the tag, and read once", async () => {
    const registry = await testRegistry();
    const digest = registry.putManifest("app", "v1", MANIFEST, TEXT);
    const source = registrySource(at(registry, "app", "v1"), QUICK);
    const root = await source.resolve();
    expect(root).toEqual({ mediaType: MANIFEST, digest, size: TEXT.length });
    expect((await collect(source.read(root))).toString()).toBe(TEXT);
    expect(registry.log()).toEqual(["GET /v2/app/manifests/v1"]);
    expect(registry.requests[0]!.headers.accept?.split(", ")).toContain(INDEX);
  });

  it("need a tag or a digest", async () => {
    const registry = await testRegistry();
    await expectCode(registrySource(at(registry, "app"), QUICK).resolve(), "REFERENCE_INVALID");
    expect(registry.requests).toEqual([]);
  });

  it.each(["sha256", "sha512"])(
    "are resolved by a %s digest, whatever the tag",
    async (algorithm) => {
      const registry = await testRegistry();
      const digest = digestOf(TEXT, algorithm);
      registry.manifests.set(`app@${digest}`, { mediaType: MANIFEST, bytes: Buffer.from(TEXT) });
      const source = registrySource({ ...at(registry, "app", "other"), digest }, QUICK);
      expect((await source.resolve()).digest).toBe(digest);
      expect(registry.log()).toEqual([`GET /v2/app/manifests/${digest}`]);
    },
  );

  it("below an index are read by their digests", async () => {
    const registry = await testRegistry();
    const digest = registry.putManifest("app", "v1", MANIFEST, TEXT);
    const source = registrySource(at(registry, "app", "v1"), QUICK);
    const descriptor = { mediaType: MANIFEST, digest, size: TEXT.length };
    expect((await collect(source.read(descriptor))).toString()).toBe(TEXT);
    const twin = { ...descriptor, mediaType: INDEX };
    await expectCode(collect(source.read(twin)), "REGISTRY_INVALID_RESPONSE");
    const absent = { ...descriptor, digest: digestOf("absent") };
    await expectCode(collect(source.read(absent)), "BLOB_NOT_FOUND");
  });

  it.each(["application/json", "text/plain; charset=utf-8", ""])(
    "are read by their own type if the registry sends %j",
    async (type) => {
      const registry = await testRegistry();
      const text = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [] });
      registry.script = (_, response) =>
        reply(response, 200, type === "" ? {} : { "content-type": type }, text);
      const { mediaType } = await registrySource(at(registry, "app", "v1"), QUICK).resolve();
      expect(mediaType).toBe(INDEX);
    },
  );

  const typed = { "content-type": MANIFEST };
  it.each<[string, ErrorCode, (response: ServerResponse) => boolean]>([
    ["404", "IMAGE_NOT_FOUND", (r) => refuse(r, 404, "MANIFEST_UNKNOWN")],
    [
      "a page",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, { "content-type": "text/html" }, "<p>"),
    ],
    ["far too much", "MANIFEST_TOO_LARGE", (r) => reply(r, 200, typed, " ".repeat(4194305))],
    [
      "another digest than it says",
      "BLOB_DIGEST_MISMATCH",
      (r) => reply(r, 200, { ...typed, "docker-content-digest": digestOf("x") }, TEXT),
    ],
    [
      "no digest where it says one",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, { ...typed, "docker-content-digest": "x" }, TEXT),
    ],
  ])("are rejected if the registry sends %s", async (_, code, script) => {
    const registry = await testRegistry();
    registry.script = (_request, response) => script(response);
    await expectCode(registrySource(at(registry, "app", "v1"), QUICK).resolve(), code);
  });

  it("are rejected if they do not match the reference's digest", async () => {
    const registry = await testRegistry();
    registry.script = (_, response) => reply(response, 200, typed, TEXT);
    const source = registrySource({ ...at(registry, "app"), digest: digestOf("other") }, QUICK);
    await expectCode(source.resolve(), "BLOB_DIGEST_MISMATCH");
  });

  it("may have parameters in their type, and the largest size", async () => {
    const registry = await testRegistry();
    const text = TEXT.padEnd(4194304);
    registry.script = (_, response) =>
      reply(response, 200, { "content-type": `${MANIFEST}; charset=utf-8` }, text);
    const { digest, size } = await registrySource(at(registry, "app", "v1"), QUICK).resolve();
    expect([digest, size]).toEqual([digestOf(text), 4194304]);
  });
});

describe("messages", () => {
  it("show the registry's message, and nothing else of its answer", async () => {
    const registry = await testRegistry();
    const message = `quota \u001b[31mexceeded\r\n${"x".repeat(400)}`;
    registry.script = (_, response) => refuse(response, 403, "DENIED", message);
    const error = await expectCode(
      registrySource(at(registry, "app", "v1"), QUICK).resolve(),
      "REGISTRY_DENIED",
    );
    expect(error.message).toContain("403: DENIED quota [31mexceeded x");
    expect(error.message).not.toMatch(/[\u0000-\u001f]/);
    expect(error.message.length).toBeLessThan(600);
  });

  it.each([
    ["a page", "<html>hunter2</html>"],
    ["a huge page", "hunter2".repeat(100_000)],
    ["other JSON", '{"errors":"hunter2"}'],
    ["errors of another kind", '{"errors":[null,1,{"code":["hunter2"]}]}'],
  ])("do not show %s", async (_, body) => {
    const registry = await testRegistry();
    registry.script = (_request, response) => reply(response, 400, {}, body);
    const error = await expectCode(
      registrySource(at(registry, "app", "v1"), QUICK).resolve(),
      "REGISTRY_FAILED",
    );
    expect(error.message).toContain("400");
    expect(error.message).not.toContain("hunter2");
  });

  it("omit the query of a URL", async () => {
    const { registry, blob } = await withBlob();
    const other = await testServer((_, response) => reply(response, 403));
    registry.script = (_, response) =>
      reply(response, 307, { location: `${other.url}/data?signature=hunter2` });
    const error = await expectCode(read(registry, blob), "REGISTRY_DENIED");
    expect(error.message).not.toContain("hunter2");
  });

  it("report a registry that cannot be reached", async () => {
    const reference = { host: "127.0.0.1:1", repository: "app", tag: "v1" };
    const start = performance.now();
    const error = await expectCode(
      registrySource(reference, { credentials: QUICK.credentials }).resolve(),
      "REGISTRY_UNREACHABLE",
    );
    expect(error.message).toContain("no server listens there");
    expect(performance.now() - start).toBeLessThan(2000);
  });

  it("report a registry without TLS", async () => {
    const registry = await testRegistry();
    const source = registrySource(at(registry, "app", "v1"), { ...QUICK, insecure: false });
    await expectCode(source.resolve(), "REGISTRY_UNREACHABLE");
  });
});

describe("options", () => {
  const reference = { host: "127.0.0.1:1", repository: "app" };
  it.each<[string, RegistryOptions]>([
    ["a timeout of 0", { timeout: 0 }],
    ["a timeout that is no number", { timeout: NaN }],
    ["a timeout that timers cannot measure", { timeout: 2 ** 31 }],
    ["a negative number of retries", { retries: -1 }],
    ["a negative delay", { retryDelay: -1 }],
  ])("%s", (_, options) => {
    expect(() => registrySource(reference, options)).toThrow(RangeError);
  });

  it.each<[string, RegistryOptions]>([
    ["no certificate", { ca: "x" }],
    [
      "a broken certificate",
      { ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
    ],
    ["a certificate for another fetch", { ca: "x", fetch: globalThis.fetch }],
  ])("%s", (_, options) => {
    expect(() => registrySource(reference, options)).toThrow(TypeError);
  });
});

describe("a proxy", () => {
  const names = ["HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"];
  const before = names.map((name) => [name, process.env[name]] as const);
  afterEach(() => {
    for (const [name, value] of before) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
  });

  /** The requests that come to a proxy, and the code with which resolving the image fails. */
  async function asked(host: string, noProxy = ""): Promise<[string[], string]> {
    const proxy = await testServer((_, response) => reply(response, 404));
    process.env.http_proxy = process.env.HTTP_PROXY = proxy.url;
    process.env.no_proxy = process.env.NO_PROXY = noProxy;
    const reference = { host, repository: "app", tag: "v1" };
    const source = registrySource(reference, { ...QUICK, retries: 0, insecure: true });
    const error: unknown = await source.resolve().catch((caught: unknown) => caught);
    return [proxy.requests.map(({ target }) => target), (error as OcicryptError).code];
  }

  it("is used for a registry on another machine", async () => {
    expect(await asked("registry.invalid")).toEqual([
      ["http://registry.invalid/v2/app/manifests/v1"],
      "IMAGE_NOT_FOUND",
    ]);
  });

  it.each(["127.0.0.1:1", "localhost:1", "[::1]:1"])("is not used for %s", async (host) => {
    expect(await asked(host)).toEqual([[], "REGISTRY_UNREACHABLE"]);
  });

  it.each([
    "http://alice:s3cr/et@proxy",
    "http://alice:100%sure@proxy",
    "socks5://alice:s3cr@proxy",
    "HTTP://alice:s3cr@proxy",
  ])("that cannot be used is neither shown nor bypassed: %s", async (proxy) => {
    process.env.http_proxy = process.env.HTTP_PROXY = proxy;
    process.env.no_proxy = process.env.NO_PROXY = "";
    const at = (host: string): RegistryReference => ({ host, repository: "app", tag: "v1" });
    const options = { ...QUICK, retries: 0, insecure: true };
    const source = registrySource(at("registry.invalid"), options);
    const error = await expectCode(source.resolve(), "REGISTRY_UNREACHABLE");
    expect(error.message).toContain("HTTP_PROXY does not name a usable proxy");
    expect(inspect(error)).not.toMatch(/s3cr|sure/);
    const registry = await testRegistry();
    await expectCode(registrySource(at(registry.host), options).resolve(), "IMAGE_NOT_FOUND");
  });

  it("is not used for hosts in NO_PROXY", async () => {
    expect(await asked("registry.invalid", "other,.invalid")).toEqual([[], "REGISTRY_UNREACHABLE"]);
  });
});
