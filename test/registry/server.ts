import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "vitest";
import type { RegistryOptions, RegistryReference } from "../../src/registry/index.js";
import { collect } from "../support/bytes.js";

export const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const INDEX = "application/vnd.oci.image.index.v1+json";

export interface SeenRequest {
  method: string;
  /** Path and query. */
  target: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
  /** Of the connection, on the other side. */
  port: number | undefined;
}

/** Answers a request itself, or returns false. */
export type Script = (request: SeenRequest, response: ServerResponse) => boolean | Promise<boolean>;

/** A server on 127.0.0.1 that does what a test says, and goes with the test. */
export interface TestServer {
  host: string;
  url: string;
  requests: SeenRequest[];
  /** `GET /v2/…` of all requests, queries left out. */
  log(): string[];
}

const running = new Set<Server>();
const lasting = new Set<Server>();
afterEach(() => stop(running));

/** Stops the servers that live longer than one test. */
export function stopServers(): Promise<void> {
  return stop(lasting);
}

async function stop(servers: Set<Server>): Promise<void> {
  for (const server of servers) {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
  servers.clear();
}

/** @param isLasting whether the server lives until {@link stopServers} instead of to the end of the test */
export async function testServer(answer: Script, isLasting = false): Promise<TestServer> {
  const requests: SeenRequest[] = [];
  const server = createServer((message, response) => {
    message.on("error", () => undefined);
    void (async () => {
      const { method = "", url: target = "", headers } = message;
      const body = await collect(message as AsyncIterable<Uint8Array>).catch(() => undefined);
      if (body === undefined) return;
      const request = { method, target, headers, body, port: message.socket.remotePort };
      requests.push(request);
      if (!(await answer(request, response))) reply(response, 404);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  (isLasting ? lasting : running).add(server);
  const host = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return {
    ...{ host, url: `http://${host}`, requests },
    log: () => requests.map(({ method, target }) => `${method} ${target.split("?", 1)[0]!}`),
  };
}

export function reply(
  response: ServerResponse,
  status: number,
  headers: Record<string, string> = {},
  body: string | Uint8Array = "",
): true {
  response.writeHead(status, headers).end(body);
  return true;
}

/** An error as registries write them. */
export function refuse(response: ServerResponse, status: number, code: string, message = ""): true {
  const body = JSON.stringify({ errors: [{ code, message, detail: {} }] });
  return reply(response, status, { "content-type": "application/json" }, body);
}

export interface StoredManifest {
  mediaType: string;
  bytes: Buffer;
}

/** A registry in memory, whose answers a script can take over. */
export interface TestRegistry extends TestServer {
  /** By `REPOSITORY@DIGEST`. */
  blobs: Map<string, Buffer>;
  /** By `REPOSITORY@DIGEST` and `REPOSITORY:TAG`. */
  manifests: Map<string, StoredManifest>;
  uploads: Map<string, Buffer>;
  /** Makes the `Location` of an upload, whose path must end in its id. */
  locate: (repository: string, id: string) => string;
  /** Makes the link to the next page of tags, from the last tag of this one. */
  nextPage: (repository: string, last: string) => string;
  /** Returns the last tag of the page before, from a query. */
  lastTag: (query: URLSearchParams) => string | null;
  /** Whether answers about manifests have `Docker-Content-Digest`. */
  sendsDigests: boolean;
  /** Makes the entity tag of a digest; then `If-Match` counts. By default manifests have none. */
  etag: ((digest: string) => string) | undefined;
  /** Asked before the registry itself. */
  script: Script;
  putBlob(repository: string, bytes: Uint8Array): { digest: string; size: number };
  putManifest(repository: string, tag: string, mediaType: string, text: string): string;
  tags(): string[];
  /** The most tags in one page of a list. */
  pageSize: number;
}

export async function testRegistry(): Promise<TestRegistry> {
  const blobs = new Map<string, Buffer>();
  const manifests = new Map<string, StoredManifest>();
  const uploads = new Map<string, Buffer>();
  const owners = new Map<string, string>();

  const server = await testServer(async (request, response) => {
    if (await registry.script(request, response)) return true;
    const url = new URL(request.target, "http://registry");
    const list = /^\/v2\/(.+)\/tags\/list$/.exec(url.pathname)?.[1];
    if (list !== undefined) return listTags(response, list, registry.lastTag(url.searchParams));
    const match = /^\/v2\/(.+?)\/(blobs\/uploads|blobs|manifests)\/([^/]*)$/.exec(url.pathname);
    const [, repository = "", kind, name = ""] = match ?? [];
    if (kind === "manifests") return manifest(request, response, repository, name);
    if (kind === "blobs") return blob(request, response, `${repository}@${name}`);
    if (kind === "blobs/uploads") return upload(request, response, repository, name, url);
    const id = url.pathname.split("/").at(-1) ?? "";
    const owner = owners.get(id);
    return owner !== undefined && upload(request, response, owner, id, url);
  });

  function manifest(
    { method, headers, body }: SeenRequest,
    response: ServerResponse,
    repository: string,
    name: string,
  ): true {
    const at = name.includes(":") ? `${repository}@${name}` : `${repository}:${name}`;
    if (method === "PUT") {
      const stored = { mediaType: headers["content-type"] ?? "", bytes: body };
      const digest = digestOf(body);
      if (name.includes(":") && name !== digest) return refuse(response, 400, "DIGEST_INVALID");
      const before = manifests.get(at);
      const etag = before && registry.etag?.(digestOf(before.bytes));
      const wanted = headers["if-match"];
      if (registry.etag && wanted !== undefined && wanted !== etag) return reply(response, 412);
      manifests.set(at, stored).set(`${repository}@${digest}`, stored);
      return reply(response, 201, digestHeader(digest));
    }
    const found = manifests.get(at);
    if (found === undefined) return refuse(response, 404, "MANIFEST_UNKNOWN", "manifest unknown");
    const digest = digestOf(found.bytes);
    const described = {
      "content-type": found.mediaType,
      ...digestHeader(digest),
      ...(registry.etag && { etag: registry.etag(digest) }),
    };
    return reply(response, 200, described, found.bytes);
  }

  function digestHeader(digest: string): Record<string, string> {
    return registry.sendsDigests ? { "docker-content-digest": digest } : {};
  }

  /** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags */
  function listTags(response: ServerResponse, name: string, last: string | null): true {
    const own = registry.tags().filter((tag) => tag.startsWith(`${name}:`));
    if (own.length === 0) return refuse(response, 404, "NAME_UNKNOWN", "repository name not known");
    const all = own.map((tag) => tag.slice(name.length + 1)).sort();
    const rest = all.slice(last === null ? 0 : all.indexOf(last) + 1);
    const tags = rest.slice(0, registry.pageSize);
    const next = registry.nextPage(name, tags.at(-1) ?? "");
    const link = rest.length > tags.length ? { link: `<${next}>; rel="next"` } : {};
    return reply(response, 200, link, JSON.stringify({ name, tags }));
  }

  function blob({ method, headers }: SeenRequest, response: ServerResponse, at: string): true {
    const found = blobs.get(at);
    if (found === undefined) return refuse(response, 404, "BLOB_UNKNOWN", "blob unknown");
    const start = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
    const part = found.subarray(start);
    const length = { "content-length": String(part.byteLength) };
    if (method === "HEAD") return reply(response, 200, length);
    if (start === 0) return reply(response, 200, length, part);
    const end = String(found.byteLength - 1);
    const range = `bytes ${String(start)}-${end}/${String(found.byteLength)}`;
    return reply(response, 206, { ...length, "content-range": range }, part);
  }

  function upload(
    { method, body }: SeenRequest,
    response: ServerResponse,
    repository: string,
    id: string,
    url: URL,
  ): true {
    const location = (of: string): Record<string, string> => ({
      location: registry.locate(repository, of),
    });
    if (method === "POST") {
      const mounted = blobs.get(
        `${url.searchParams.get("from")!}@${url.searchParams.get("mount")!}`,
      );
      if (mounted !== undefined) {
        registry.putBlob(repository, mounted);
        return reply(response, 201);
      }
      const fresh = randomUUID();
      uploads.set(fresh, Buffer.alloc(0));
      owners.set(fresh, repository);
      return reply(response, 202, location(fresh));
    }
    let content = uploads.get(id);
    if (content === undefined) return refuse(response, 404, "BLOB_UPLOAD_UNKNOWN");
    content = Buffer.concat([content, body]);
    const range = { range: `0-${String(Math.max(content.byteLength - 1, 0))}` };
    if (method === "GET") return reply(response, 204, { ...location(id), ...range });
    if (method === "PATCH") {
      uploads.set(id, content);
      return reply(response, 202, { ...location(id), ...range });
    }
    uploads.delete(id);
    if (method === "DELETE") return reply(response, 204);
    const digest = url.searchParams.get("digest");
    if (digest !== digestOf(content)) return refuse(response, 400, "DIGEST_INVALID", "not it");
    registry.putBlob(repository, content);
    return reply(response, 201);
  }

  const registry: TestRegistry = {
    ...server,
    ...{ blobs, manifests, uploads },
    etag: undefined,
    script: () => false,
    pageSize: 1000,
    locate: (repository, id) => `/v2/${repository}/blobs/uploads/${id}?state=a/b%20c`,
    nextPage: (repository, last) => `/v2/${repository}/tags/list?last=${last}`,
    lastTag: (query) => query.get("last"),
    sendsDigests: true,
    putBlob(repository, bytes) {
      const digest = digestOf(bytes);
      blobs.set(`${repository}@${digest}`, Buffer.from(bytes));
      return { digest, size: bytes.byteLength };
    },
    putManifest(repository, tag, mediaType, text) {
      const stored = { mediaType, bytes: Buffer.from(text) };
      const digest = digestOf(stored.bytes);
      manifests.set(`${repository}:${tag}`, stored).set(`${repository}@${digest}`, stored);
      return digest;
    },
    tags: () => [...manifests.keys()].filter((name) => !name.includes("@")),
  };
  return registry;
}

export function digestOf(bytes: Uint8Array | string, algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

export function at({ host }: TestServer, repository: string, tag?: string): RegistryReference {
  return { host, repository, ...(tag !== undefined && { tag }) };
}

/** For tests: no pauses, and nobody's own credentials. */
export const QUICK: RegistryOptions = {
  retryDelay: 1,
  retries: 2,
  timeout: 5000,
  credentials: () => Promise.resolve(undefined),
};

/** Bytes that differ everywhere, so that none can be repeated or left out unseen. */
export function numbered(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32BE((i * 2654435761) % 4294967291, i);
  return bytes;
}
