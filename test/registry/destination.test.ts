import type { ServerResponse } from "node:http";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { registryDestination, type RegistryDestinationOptions } from "../../src/registry/index.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import { chunked } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import {
  at,
  digestOf,
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

const BLOB = numbered(25_000);
const DIGEST = digestOf(BLOB);
const SMALL: RegistryDestinationOptions = { ...QUICK, chunkSize: 10_000 };
const MANIFEST_BYTES = Buffer.from("{}");
const IMAGE: Descriptor = { mediaType: MANIFEST, digest: digestOf("{}"), size: 2 };

async function write(
  registry: TestRegistry,
  options: RegistryDestinationOptions = SMALL,
  bytes: Buffer = BLOB,
): Promise<void> {
  const destination = await registryDestination(at(registry, "app", "v1"), options);
  await destination.write(chunked(bytes, 777), () => ({ digest: digestOf(bytes) }));
}

const patches = ({ requests }: TestRegistry): (string | undefined)[] =>
  requests
    .filter(({ method }) => method === "PATCH")
    .map(({ headers }) => headers["content-range"]);

const methods = ({ requests }: TestRegistry): string[] => requests.map(({ method }) => method);

function expectStored(registry: TestRegistry, bytes = BLOB): void {
  expect(registry.blobs.get(`app@${digestOf(bytes)}`)?.equals(bytes)).toBe(true);
  expect(registry.uploads.size).toBe(0);
}

/** Takes some requests away from the registry. */
function intercept(
  registry: TestRegistry,
  method: string,
  script: (
    count: number,
    request: SeenRequest,
    response: ServerResponse,
  ) => boolean | Promise<boolean>,
): void {
  let count = 0;
  registry.script = (request, response) =>
    request.method === method && script(count++, request, response);
}

/** The upload that is open. */
function upload({ uploads }: TestRegistry): [string, Buffer] {
  expect(uploads.size).toBe(1);
  return [...uploads][0]!;
}

/** Lets the registry take a part of a chunk before the connection breaks off. */
function takePart(
  registry: TestRegistry,
  { body }: SeenRequest,
  bytes: number,
  response: ServerResponse,
): true {
  const [id, content] = upload(registry);
  registry.uploads.set(id, Buffer.concat([content, body.subarray(0, bytes)]));
  response.destroy();
  return true;
}

describe("uploads", () => {
  it("are sent in chunks", async () => {
    const registry = await testRegistry();
    await write(registry);
    expectStored(registry);
    expect(methods(registry)).toEqual(["POST", "PATCH", "PATCH", "PATCH", "PUT"]);
    expect(patches(registry)).toEqual(["0-9999", "10000-19999", "20000-24999"]);
    expect(registry.requests.every(({ body }) => body.byteLength <= 10_000)).toBe(true);
    const { target, headers } = registry.requests.at(-1)!;
    expect(target).toContain("?state=a/b%20c&digest=sha256%3A");
    expect(headers["content-length"]).toBe("0");
  });

  it.each([0, 1, 9999, 10_000, 10_001, 20_000])("of %s bytes", async (size) => {
    const registry = await testRegistry();
    await write(registry, SMALL, numbered(size));
    expectStored(registry, numbered(size));
    expect(patches(registry)).toHaveLength(Math.ceil(size / 10_000));
  });

  it("work with the global fetch", async () => {
    const registry = await testRegistry();
    await write(registry, { ...SMALL, fetch: globalThis.fetch });
    expectStored(registry);
    expect(registry.requests.at(-1)!.headers["content-length"]).toBe("0");
  });

  it("use larger chunks if the registry asks for them", async () => {
    const registry = await testRegistry();
    intercept(registry, "POST", (_, __, response) => {
      response.setHeader("oci-chunk-min-length", "15000");
      return false;
    });
    await write(registry);
    expectStored(registry);
    expect(patches(registry)).toEqual(["0-14999", "15000-24999"]);
  });

  it.each([0, 1, 5000, 9999])(
    "resume after %s bytes when the connection breaks",
    async (arrived) => {
      const registry = await testRegistry();
      intercept(registry, "PATCH", (count, request, response) => {
        if (count !== 1) return false;
        return takePart(registry, request, arrived, response);
      });
      await write(registry);
      expectStored(registry);
      expect(methods(registry)).toContain("GET");
    },
  );

  it("resume when everything arrived and only the answer was lost", async () => {
    const registry = await testRegistry();
    intercept(
      registry,
      "PATCH",
      (count, request, response) => count === 1 && takePart(registry, request, 10_000, response),
    );
    await write(registry);
    expectStored(registry);
    expect(patches(registry)).toEqual(["0-9999", "10000-19999", "20000-24999"]);
  });

  it.each([429, 503, 416])("resume after %s", async (status) => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", (count, _, response) => count === 2 && reply(response, status));
    await write(registry);
    expectStored(registry);
  });

  it("resume at once if the registry reports only the last chunk, as zot does", async () => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", (_, { body }, response) => {
      const [id, content] = upload(registry);
      registry.uploads.set(id, Buffer.concat([content, body]));
      return reply(response, 202, { range: `0-${String(body.byteLength - 1)}` });
    });
    await write(registry, { ...SMALL, retries: 0 });
    expectStored(registry);
    expect(patches(registry)).toEqual(["0-9999", "10000-19999", "20000-24999"]);
  });

  it("fail if the registry accepts only single bytes", async () => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", (_, { body }, response) => {
      const [id, content] = upload(registry);
      registry.uploads.set(id, Buffer.concat([content, body.subarray(0, 2)]));
      return reply(response, 202, { range: "0-0" });
    });
    const error = await expectCode(
      write(registry, { ...SMALL, retries: 3 }),
      "REGISTRY_INVALID_RESPONSE",
    );
    expect(error.message).toContain("it accepted only a part of the data");
    expect(patches(registry)).toHaveLength(4);
  });

  it("continue as long as the registry accepts half of the data", async () => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", (_, { body }, response) => {
      const [id, content] = upload(registry);
      const taken = Buffer.concat([content, body.subarray(0, Math.ceil(body.length / 2) + 1)]);
      registry.uploads.set(id, taken);
      return reply(response, 202, { range: `0-${String(taken.length - 1)}` });
    });
    await write(registry, { ...SMALL, retries: 1 });
    expectStored(registry);
    expect(patches(registry).length).toBeGreaterThan(20);
  });

  it("resume where the registry stopped accepting data", async () => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", (count, { body }, response) => {
      if (count !== 1) return false;
      const [id, content] = upload(registry);
      registry.uploads.set(id, Buffer.concat([content, body.subarray(0, 4000)]));
      return reply(response, 202, { range: "0-13999" });
    });
    await write(registry);
    expectStored(registry);
    expect(patches(registry)).toEqual(["0-9999", "10000-19999", "14000-19999", "20000-24999"]);
  });

  it.each([0, 1, 4000])(
    "start again while all data is kept (%s bytes arrived)",
    async (arrived) => {
      const registry = await testRegistry();
      intercept(registry, "PATCH", (count, request, response) => {
        if (count !== 0) return false;
        takePart(registry, request, arrived, response);
        if (arrived > 1) registry.uploads.clear();
        return true;
      });
      await write(registry);
      expectStored(registry);
      expect(methods(registry).filter((method) => method === "POST")).toHaveLength(2);
    },
  );

  it("fail if the registry lost data that is no longer kept", async () => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", (count, _, response) => {
      if (count !== 1) return false;
      registry.uploads.clear();
      response.destroy();
      return true;
    });
    await expectCode(write(registry), "REGISTRY_UPLOAD_LOST");
    expect(registry.blobs.size).toBe(0);
  });

  it("fail if the registry lost a part of the data that is no longer kept", async () => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", (count, _, response) => {
      if (count !== 1) return false;
      const [id, content] = upload(registry);
      registry.uploads.set(id, content.subarray(0, 5000));
      response.destroy();
      return true;
    });
    await expectCode(write(registry), "REGISTRY_UPLOAD_LOST");
    expect(registry.blobs.size).toBe(0);
  });

  it.each<[number, ErrorCode]>([
    [400, "REGISTRY_UPLOAD_LOST"],
    [416, "REGISTRY_UPLOAD_LOST"],
    [403, "REGISTRY_DENIED"],
    [500, "REGISTRY_FAILED"],
  ])("fail if the registry answers %s to the status request: %s", async (status, code) => {
    const registry = await testRegistry();
    registry.script = ({ method }, response) => {
      if (method === "GET") return reply(response, status);
      const isSecond = method === "PATCH" && patches(registry).length === 2;
      if (isSecond) response.destroy();
      return isSecond;
    };
    await expectCode(write(registry, { ...SMALL, retries: 1 }), code);
    expect(registry.blobs.size).toBe(0);
  });

  it("end when the registry rejects them before it has read them", async () => {
    let isClosed = false;
    let refused: Socket | undefined;
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", (data) => {
        const isPatch = data.toString("latin1").startsWith("PATCH");
        const answer = isPatch
          ? "403 Forbidden"
          : "202 Accepted\r\nlocation: /upload\r\nconnection: close";
        socket.write(`HTTP/1.1 ${answer}\r\ncontent-length: 0\r\n\r\n`);
        if (isPatch) refused = socket.pause().on("close", () => (isClosed = true));
        else socket.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    const destination = await registryDestination({ host, repository: "app" }, QUICK);
    const bytes = Buffer.alloc(8 * 1024 * 1024);
    const writing = destination.write(chunked(bytes, 1024 * 1024), () => ({ digest: DIGEST }));
    await expectCode(writing, "REGISTRY_DENIED");
    // Only who reads notices the end.
    refused!.resume();
    await expect.poll(() => isClosed).toBe(true);
    server.close();
  });

  it("are finished if only the last answer was lost", async () => {
    const registry = await testRegistry();
    intercept(registry, "PUT", (count, _, response) => {
      if (count !== 0) return false;
      registry.putBlob("app", upload(registry)[1]);
      registry.uploads.clear();
      response.destroy();
      return true;
    });
    await write(registry);
    expectStored(registry);
    expect(methods(registry).slice(-3)).toEqual(["PUT", "HEAD", "GET"]);
  });

  it.each<[string, ErrorCode, string, (response: ServerResponse) => boolean]>([
    ["POST is denied", "REGISTRY_DENIED", "POST", (r) => refuse(r, 403, "DENIED")],
    ["POST fails", "REGISTRY_FAILED", "POST", (r) => refuse(r, 404, "NAME_UNKNOWN")],
    ["POST names no place", "REGISTRY_INVALID_RESPONSE", "POST", (r) => reply(r, 202)],
    [
      "POST names an unsafe place",
      "REGISTRY_INVALID_RESPONSE",
      "POST",
      (r) => reply(r, 202, { location: "http://192.0.2.1/" }),
    ],
    [
      "POST wants chunks too large",
      "REGISTRY_INVALID_RESPONSE",
      "POST",
      (r) => reply(r, 202, { location: "/x", "oci-chunk-min-length": "999999999" }),
    ],
    [
      "POST redirects forever",
      "REGISTRY_INVALID_RESPONSE",
      "POST",
      (r) => reply(r, 307, { location: "/x" }),
    ],
    [
      "POST redirects to another host",
      "REGISTRY_INVALID_RESPONSE",
      "POST",
      (r) => reply(r, 307, { location: "http://127.0.0.1:1/x" }),
    ],
    ["PATCH fails", "REGISTRY_FAILED", "PATCH", (r) => refuse(r, 400, "BLOB_UPLOAD_INVALID")],
    ["PATCH fails for ever", "REGISTRY_UNREACHABLE", "PATCH", (r) => (r.destroy(), true)],
    ["PATCH is busy for ever", "REGISTRY_FAILED", "PATCH", (r) => reply(r, 503)],
    [
      "PATCH took more than there was",
      "REGISTRY_INVALID_RESPONSE",
      "PATCH",
      (r) => reply(r, 202, { range: "0-99999" }),
    ],
    [
      "PATCH answers nonsense",
      "REGISTRY_INVALID_RESPONSE",
      "PATCH",
      (r) => reply(r, 202, { range: "all" }),
    ],
    ["PUT fails", "REGISTRY_FAILED", "PUT", (r) => refuse(r, 400, "DIGEST_INVALID")],
    ["PATCH finds nothing", "REGISTRY_UPLOAD_LOST", "PATCH", (r) => refuse(r, 404, "X")],
    [
      "PUT finds nothing",
      "REGISTRY_UPLOAD_LOST",
      "PUT",
      (r) => refuse(r, 404, "BLOB_UPLOAD_UNKNOWN"),
    ],
    ["PUT is a page", "REGISTRY_FAILED", "PUT", (r) => reply(r, 200, {}, "<html>")],
  ])("fail and are cancelled when %s", async (_, code, method, script) => {
    const registry = await testRegistry();
    intercept(registry, method, (_count, _request, response) => script(response));
    const error = await expectCode(write(registry), code);
    expect(error.message).toMatch(new RegExp(`${method}|GET`));
    expect(error.message).not.toMatch(/state=|digest=/);
    expect(registry.uploads.size).toBe(0);
    expect(registry.blobs.size).toBe(0);
  });

  it.each<[string, ErrorCode | undefined]>([
    ["content", undefined],
    ["describe", undefined],
  ])("are cancelled when the %s fails", async (which) => {
    const registry = await testRegistry();
    const destination = await registryDestination(at(registry, "app"), SMALL);
    const reason = new Error("failed");
    async function* content(): AsyncGenerator<Uint8Array> {
      yield* chunked(BLOB, 5000);
      if (which === "content") throw reason;
    }
    const describe = (): { digest: string } => {
      throw reason;
    };
    await expect(destination.write(content(), describe)).rejects.toBe(reason);
    expect(registry.uploads.size).toBe(0);
    expect(registry.blobs.size).toBe(0);
    expect(methods(registry).at(-1)).toBe("DELETE");
  });

  it("stop when they are aborted, and are cancelled", async () => {
    const registry = await testRegistry();
    const controller = new AbortController();
    const reason = new Error("enough");
    intercept(registry, "PATCH", () => {
      controller.abort(reason);
      return true;
    });
    await expect(write(registry, { ...SMALL, signal: controller.signal })).rejects.toBe(reason);
    expect(registry.uploads.size).toBe(0);
  });

  it("are cancelled at the URL of their last chunk", async () => {
    const registry = await testRegistry();
    const controller = new AbortController();
    let goOn: (() => void) | undefined;
    intercept(registry, "PATCH", async (count, { body }, response) => {
      if (count !== 1) return false;
      const [id, content] = upload(registry);
      controller.abort(new Error("stopped"));
      await new Promise<void>((resolve) => (goOn = resolve));
      registry.uploads.set(id, Buffer.concat([content, body]));
      const location = `/v2/app/blobs/uploads/${id}?state=behind`;
      return reply(response, 202, { location, range: "0-19999" });
    });
    const writing = write(registry, { ...SMALL, signal: controller.signal });
    await expect.poll(() => goOn).toBeDefined();
    goOn!();
    await expect(writing).rejects.toThrow("stopped");
    expect(registry.requests.at(-1)).toMatchObject({ method: "DELETE" });
    expect(registry.requests.at(-1)!.target).toMatch(/\?state=behind$/);
    expect(registry.uploads.size).toBe(0);
  });

  it("stop when the registry accepts no more data", async () => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", () => true);
    const options = { ...SMALL, timeout: 100, retries: 1 };
    await expectCode(write(registry, options), "REGISTRY_UNREACHABLE");
  });

  it("send no credentials to another host", async () => {
    const registry = await testRegistry();
    const parts: Buffer[] = [];
    const other = await testServer(({ method, body }, response) => {
      parts.push(body);
      return reply(response, method === "PUT" ? 201 : 202);
    });
    registry.script = ({ headers }, response) =>
      headers.authorization === undefined
        ? reply(response, 401, { "www-authenticate": "Basic" })
        : reply(response, 202, { location: `${other.url}/upload?signature=x` });
    await write(registry, { ...SMALL, credentials: { username: "u", password: "p" } });
    expect(Buffer.concat(parts).equals(BLOB)).toBe(true);
    expect(other.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
    expect(registry.log()).toEqual(["POST /v2/app/blobs/uploads/", "POST /v2/app/blobs/uploads/"]);
  });
});

describe("streamed uploads", () => {
  it("are sent in one request without a range", async () => {
    const registry = await testRegistry();
    await write(registry, QUICK);
    expectStored(registry);
    expect(methods(registry)).toEqual(["POST", "PATCH", "PUT"]);
    expect(registry.requests[1]!.headers).toMatchObject({ "transfer-encoding": "chunked" });
    expect(patches(registry)).toEqual([undefined]);
  });

  it("are resumed after the connection was closed", async () => {
    const registry = await testRegistry();
    intercept(registry, "PATCH", (count, request, response) => {
      return count === 0 && takePart(registry, request, 9000, response);
    });
    await write(registry, QUICK);
    expectStored(registry);
    expect(registry.requests.map(({ body }) => body.byteLength)).toContain(16_000);
  });
});

describe("contains", () => {
  it.each([400, 403, 405, 501])("sends GET if HEAD is answered with %s", async (status) => {
    const registry = await testRegistry();
    const { digest, size } = registry.putBlob("app", BLOB);
    registry.script = ({ method }, response) => method === "HEAD" && reply(response, status);
    const destination = await registryDestination(at(registry, "app"), SMALL);
    expect(await destination.contains({ mediaType: "a/b", digest, size })).toBe(true);
    expect(await destination.contains({ mediaType: "a/b", digest, size: 1 })).toBe(false);
  });

  it.each<[string, boolean, number, string[]]>([
    ["the blob", true, 0, ["HEAD", "GET"]],
    ["a blob of another size", false, 1, ["HEAD"]],
  ])("%s: %s", async (_, expected, more, sent) => {
    const registry = await testRegistry();
    const { digest, size } = registry.putBlob("app", BLOB);
    const destination = await registryDestination(at(registry, "app"), SMALL);
    expect(await destination.contains({ mediaType: "a/b", digest, size: size + more })).toBe(
      expected,
    );
    expect(registry.log()).toEqual(sent.map((method) => `${method} /v2/app/blobs/${DIGEST}`));
  });

  // https://github.com/opencontainers/distribution-spec/issues/569
  it.each<[string, boolean, number, Record<string, string>]>([
    ["does not serve", false, 404, {}],
    ["keeps in storage that is out of reach", true, 307, { location: "http://192.0.2.1/blob" }],
    ["does not let this user read", true, 403, {}],
  ])("a blob that the registry has and %s: %s", async (_, expected, status, headers) => {
    const registry = await testRegistry();
    const { digest, size } = registry.putBlob("app", BLOB);
    registry.script = ({ method }, response) =>
      method === "GET" && reply(response, status, headers);
    const destination = await registryDestination(at(registry, "app"), SMALL);
    expect(await destination.contains({ mediaType: "a/b", digest, size })).toBe(expected);
    expect(registry.log()).toHaveLength(2);
  });

  it.each<[string, boolean | ErrorCode, number]>([
    ["404", false, 404],
    ["403", "REGISTRY_DENIED", 403],
    ["500", "REGISTRY_FAILED", 500],
  ])("%s", async (_, expected, status) => {
    const registry = await testRegistry();
    registry.script = (_request, response) => reply(response, status);
    const destination = await registryDestination(at(registry, "app"), SMALL);
    const contained = destination.contains({ mediaType: "a/b", digest: DIGEST, size: 1 });
    if (typeof expected === "string") await expectCode(contained, expected);
    else expect(await contained).toBe(expected);
  });
});

describe("exposes", () => {
  it.each<[string, boolean | ErrorCode, number]>([
    ["the byte that it was asked for", true, 206],
    ["all of it", true, 200],
    ["that there is no such byte", true, 416],
    ["404", false, 404],
    ["403", "REGISTRY_DENIED", 403],
    ["500", "REGISTRY_FAILED", 500],
  ])("%s: %s", async (_, expected, status) => {
    const registry = await testRegistry();
    registry.script = (_request, response) => reply(response, status, {}, "x".repeat(100_000));
    const destination = await registryDestination(at(registry, "app"), { ...SMALL, retries: 0 });
    const exposed = destination.exposes({ mediaType: "a/b", digest: DIGEST, size: 1 });
    if (typeof expected === "string") await expectCode(exposed, expected);
    else expect(await exposed).toBe(expected);
    expect(registry.log()).toEqual([`GET /v2/app/blobs/${DIGEST}`]);
    expect(registry.requests[0]!.headers.range).toBe("bytes=0-0");
  });
});

describe("mount", () => {
  const blob = { mediaType: "a/b", digest: DIGEST, size: BLOB.byteLength };

  it("mounts a blob from another repository", async () => {
    const registry = await testRegistry();
    registry.putBlob("base/image", BLOB);
    const mountFrom = at(registry, "base/image");
    const destination = await registryDestination(at(registry, "app"), { ...SMALL, mountFrom });
    expect(await destination.mount(blob)).toBe(true);
    expectStored(registry);
    expect(registry.requests[0]!.target).toBe(
      `/v2/app/blobs/uploads/?mount=${encodeURIComponent(DIGEST)}&from=base%2Fimage`,
    );
  });

  it.each<[string, (response: ServerResponse) => boolean]>([
    ["offers an upload instead", () => false],
    ["offers an upload nowhere", (r) => reply(r, 202)],
    ["denies it", (r) => refuse(r, 403, "DENIED")],
    ["wants more than there is", (r) => reply(r, 401, { "www-authenticate": "Basic" })],
    ["does not know it", (r) => refuse(r, 405, "UNSUPPORTED")],
    ["names no token service", (r) => reply(r, 401, { "www-authenticate": "Bearer" })],
    ["says so and it is not there", (r) => reply(r, 201)],
  ])("is not done if the registry %s", async (_, script) => {
    const registry = await testRegistry();
    intercept(registry, "POST", (_count, _request, response) => script(response));
    const mountFrom = at(registry, "base");
    const destination = await registryDestination(at(registry, "app"), { ...SMALL, mountFrom });
    expect(await destination.mount(blob)).toBe(false);
    expect(registry.uploads.size).toBe(0);
  });

  it.each<[string, RegistryDestinationOptions]>([
    ["nothing", {}],
    ["another registry", { mountFrom: { host: "r.example", repository: "base" } }],
  ])("is not tried from %s", async (_, options) => {
    const registry = await testRegistry();
    const destination = await registryDestination(at(registry, "app"), { ...SMALL, ...options });
    expect(await destination.mount(blob)).toBe(false);
    expect(registry.requests).toEqual([]);
  });

  it("is never done by contains", async () => {
    const registry = await testRegistry();
    registry.putBlob("base", BLOB);
    const mountFrom = at(registry, "base");
    const destination = await registryDestination(at(registry, "app"), { ...SMALL, mountFrom });
    expect(await destination.contains(blob)).toBe(false);
    expect(methods(registry)).toEqual(["HEAD"]);
  });
});

describe("a tag whose request", () => {
  const text = JSON.stringify({ schemaVersion: 2 });
  const image = { mediaType: MANIFEST, digest: digestOf(text), size: text.length };

  /** Commits an image whose tag the registry gets, or not, before the request fails. */
  async function commit(
    registry: TestRegistry,
    isStored: boolean,
    fail: (response: ServerResponse) => unknown,
  ): Promise<unknown> {
    registry.putManifest("app", "v1", MANIFEST, "{}");
    registry.script = ({ method, target }, response) => {
      if (method !== "PUT" || !target.endsWith("/v1")) return false;
      if (isStored) registry.putManifest("app", "v1", MANIFEST, text);
      fail(response);
      return true;
    };
    const options = { ...SMALL, retries: 0 };
    const destination = await registryDestination(at(registry, "app", "v1"), options);
    await destination.writeManifest(Buffer.from(text), image);
    return destination.commit(image);
  }

  it.each<[string, (response: ServerResponse) => unknown]>([
    ["breaks off", (response) => response.destroy()],
    ["ends with 502", (response) => reply(response, 502)],
  ])("%s is written if the registry has it", async (_, fail) => {
    const registry = await testRegistry();
    await commit(registry, true, fail);
    expect(registry.manifests.get("app:v1")!.bytes.toString()).toBe(text);
  });

  it.each<[string, ErrorCode, (response: ServerResponse) => unknown]>([
    ["breaks off", "REGISTRY_UNREACHABLE", (response) => response.destroy()],
    ["ends with 502", "REGISTRY_FAILED", (response) => reply(response, 502)],
    ["is denied", "REGISTRY_DENIED", (response) => reply(response, 403)],
  ])("%s is not written if the registry does not have it: %s", async (_, code, fail) => {
    const registry = await testRegistry();
    const { message } = await expectCode(commit(registry, false, fail), code);
    expect(message).not.toContain("not known");
  });

  it.each([400, 429])("is rejected with %s reports that, whatever can be read", async (status) => {
    const registry = await testRegistry();
    const result = commit(registry, false, (response) => {
      registry.script = (_, other) => reply(other, 403);
      reply(response, status);
    });
    const { message } = await expectCode(result, "REGISTRY_FAILED");
    expect(message).toContain(`/manifests/v1 was answered ${String(status)}`);
  });

  it("is interrupted and cannot be checked is reported as unknown", async () => {
    const registry = await testRegistry();
    const result = commit(registry, true, (response) => {
      registry.script = (_, other) => reply(other, 500);
      response.destroy();
    });
    const { message } = await expectCode(result, "REGISTRY_UNREACHABLE");
    expect(message).toContain("it is unknown whether the tag v1 names the new image");
  });

  it("is reported as written if the abort arrives after the registry stored it", async () => {
    const registry = await testRegistry();
    const controller = new AbortController();
    registry.script = ({ method, target }) => {
      if (method !== "PUT" || !target.endsWith("/v1")) return false;
      registry.putManifest("app", "v1", MANIFEST, text);
      controller.abort();
      return true;
    };
    const destination = await registryDestination(at(registry, "app", "v1"), SMALL);
    await destination.writeManifest(Buffer.from(text), image);
    await destination.commit(image, { signal: controller.signal });
    expect(registry.manifests.get("app:v1")!.bytes.toString()).toBe(text);
  });
});

describe("manifests", () => {
  it("are put under their digests, and under the tag with the last request", async () => {
    const registry = await testRegistry();
    const destination = await registryDestination(at(registry, "app", "v1"), SMALL);
    await destination.writeManifest(MANIFEST_BYTES, IMAGE);
    expect(registry.tags()).toEqual([]);
    await destination.commit(IMAGE);
    expect(registry.tags()).toEqual(["app:v1"]);
    expect(registry.log()).toEqual([
      `PUT /v2/app/manifests/${IMAGE.digest}`,
      "PUT /v2/app/manifests/v1",
    ]);
    expect(registry.requests.map(({ headers }) => headers["content-type"])).toEqual([
      MANIFEST,
      MANIFEST,
    ]);
  });

  it("can only be read by their digests without a tag", async () => {
    const registry = await testRegistry();
    const destination = await registryDestination(at(registry, "app"), SMALL);
    await destination.writeManifest(MANIFEST_BYTES, IMAGE);
    await destination.commit(IMAGE);
    expect(registry.log()).toEqual([`PUT /v2/app/manifests/${IMAGE.digest}`]);
  });

  it.each<[string, ErrorCode, (response: ServerResponse) => boolean]>([
    ["denies them", "REGISTRY_DENIED", (r) => refuse(r, 403, "DENIED")],
    ["finds them too large", "MANIFEST_TOO_LARGE", (r) => reply(r, 413)],
    ["misses a blob", "REGISTRY_FAILED", (r) => refuse(r, 400, "MANIFEST_BLOB_UNKNOWN")],
    [
      "stores something else",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 201, { "docker-content-digest": digestOf("other") }),
    ],
  ])("fail if the registry %s", async (_, code, script) => {
    const registry = await testRegistry();
    registry.script = (_request, response) => script(response);
    const destination = await registryDestination(at(registry, "app", "v1"), SMALL);
    await expectCode(destination.writeManifest(MANIFEST_BYTES, IMAGE), code);
  });

  it("must be written before the image", async () => {
    const registry = await testRegistry();
    const destination = await registryDestination(at(registry, "app", "v1"), SMALL);
    await expect(destination.commit(IMAGE)).rejects.toThrow(TypeError);
    expect(registry.requests).toEqual([]);
  });
});

describe("destinations", () => {
  it("cannot be a digest", async () => {
    const reference = { host: "127.0.0.1:1", repository: "app", digest: DIGEST };
    await expectCode(registryDestination(reference), "REFERENCE_INVALID");
  });

  it("need a valid size of chunks", async () => {
    const reference = { host: "127.0.0.1:1", repository: "app" };
    await expect(registryDestination(reference, { chunkSize: 0 })).rejects.toThrow(RangeError);
  });

  it("that are discarded cancel open uploads", async () => {
    const registry = await testRegistry();
    const destination = await registryDestination(at(registry, "app"), SMALL);
    let release: (() => void) | undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    async function* content(): AsyncGenerator<Uint8Array> {
      yield* chunked(BLOB, 5000);
      await held;
    }
    const writing = destination.write(content(), () => ({ digest: DIGEST }));
    // The client knows the upload once it sends content.
    await expect.poll(() => methods(registry)).toContain("PATCH");
    await destination.discard();
    expect(registry.uploads.size).toBe(0);
    release!();
    await expectCode(writing, "REGISTRY_UPLOAD_LOST");
    expect(registry.blobs.size).toBe(0);
  });
});
