import type { ServerResponse } from "node:http";
import {
  refuse,
  reply,
  type Script,
  type SeenRequest,
  type TestRegistry,
  type TestServer,
} from "./server.js";

const MIB = 1024 * 1024;

/** A way in which a registry deviates from the specification, or uses its freedom. */
export interface Trait {
  what: string;
  /** The report that describes it. */
  source: string;
  /** Answers a request itself, or returns false. */
  take?: Script;
  /** The same for requests that this client never sends. */
  never?: Script;
}

/** Where a registry keeps its blobs: another server, which takes no credentials of the registry. */
export type Storage = TestServer;

/** Makes a registry behave as one of these products. */
export type Vendor = (registry: TestRegistry, storage: Storage) => Trait[];

/** The credentials that the doubles accept. */
export const CREDENTIALS = { username: "AWS", password: "pass:word" };
const BASIC = `Basic ${Buffer.from("AWS:pass:word").toString("base64")}`;

export const VENDORS: Record<string, Vendor> = {
  "Amazon ECR": (registry, storage) => {
    registry.locate = (repository, id) =>
      `${registry.url}/v2/${repository}/blobs/uploads/${id}?state=a/b%20c`;
    registry.nextPage = (repository, last) =>
      `${registry.url}/v2/${repository}/tags/list?last=${last}&n=100`;
    registry.sendsDigests = false;
    let isFirst = true;
    return [
      {
        what: "asks for Basic authentication",
        source: "https://github.com/podman-container-tools/skopeo/issues/869",
        take: ({ headers }, response) =>
          headers.authorization !== BASIC &&
          reply(response, 401, { "www-authenticate": 'Basic realm="ecr"' }),
      },
      {
        what: "says 201 to chunks, and its Range stays at the first",
        source: "https://github.com/aws/containers-roadmap/issues/2831",
        take: (request, response) => {
          if (request.method !== "PATCH") return false;
          takeChunk(registry, request);
          const [path] = request.target.split("?");
          const first = registry.requests.find(
            (earlier) => earlier.method === "PATCH" && earlier.target.startsWith(path!),
          )!;
          return reply(response, 201, { range: `0-${String(first.body.byteLength - 1)}` });
        },
      },
      {
        what: "does not know the state of an upload",
        source: "https://github.com/regclient/regclient/issues/81",
        take: ({ method, target }, response) =>
          method === "GET" &&
          target.includes("/uploads/") &&
          refuse(response, 404, "BLOB_UPLOAD_UNKNOWN"),
      },
      {
        what: "rejects chunks below 5 MiB, at the end of the upload",
        source: "https://github.com/dotnet/sdk-container-builds/pull/279",
        take: ({ method, target }, response) => {
          if (method !== "PUT" || !target.includes("/uploads/")) return false;
          const [path] = target.split("?");
          const chunks = registry.requests.filter(
            (earlier) => earlier.method === "PATCH" && earlier.target.startsWith(path!),
          );
          return chunks.slice(0, -1).some(({ body }) => body.byteLength < 5 * MIB)
            ? refuse(response, 400, "BLOB_UPLOAD_INVALID", "a part is too small")
            : false;
        },
      },
      {
        what: "limits the rate of new manifests, without Retry-After",
        source: "https://github.com/containerd/containerd/issues/10447",
        take: ({ method, target }, response) => {
          if (!isFirst || method !== "PUT" || !target.includes("/manifests/")) return false;
          isFirst = false;
          return refuse(response, 429, "TOOMANYREQUESTS", "Rate exceeded");
        },
      },
      {
        what: "sends no Docker-Content-Digest",
        source: "https://github.com/google/containerregistry/pull/10",
      },
      {
        what: "gives tags in pages",
        source: "https://github.com/docker-archive/migrator/issues/96",
      },
      {
        what: "redirects blobs to storage that rejects a second authorization",
        source: "https://github.com/open-policy-agent/opa/pull/6728",
        take: redirectedBlobs(registry, storage, ["GET"]),
      },
    ];
  },

  "Amazon ECR Public": (registry) => {
    let authorized = 0;
    return [
      {
        what: "says 400 to an expired token",
        source: "https://github.com/oras-project/oras-go/issues/1227",
        take: ({ method, headers }, response) => {
          const isToken = headers.authorization?.startsWith("Bearer ") === true;
          if (!isToken || method === "HEAD" || ++authorized !== 3) return false;
          return refuse(response, 400, "DENIED", "Your Authorization Token is invalid.");
        },
      },
      {
        what: "says 403 to HEAD requests for blobs",
        source: "https://github.com/SgtSilvio/gradle-oci/pull/154",
        take: ({ method, target }, response) =>
          method === "HEAD" && blobAt(target) !== undefined && reply(response, 403),
      },
      bearer(registry, "/token/", "https://github.com/aws/containers-roadmap/issues/2835"),
    ];
  },

  "Google Artifact Registry": (registry) => {
    const prefix = "/artifacts-downloads/namespaces/p/repositories/r/downloads/";
    registry.locate = (_, id) => `/artifacts-uploads/namespaces/p/repositories/r/uploads/${id}`;
    return [
      {
        what: "redirects blobs to a signed path of its own",
        source: "https://github.com/ahmetb/serverless-registry-proxy/issues/8",
        take: ({ method, target }, response) => {
          const at = blobAt(target);
          if (method === "GET" && at !== undefined && registry.blobs.has(at)) {
            return reply(response, 302, { location: prefix + encodeURIComponent(at) });
          }
          if (!target.startsWith(prefix)) return false;
          const found = registry.blobs.get(decodeURIComponent(target.slice(prefix.length)));
          return found !== undefined && reply(response, 200, {}, found);
        },
      },
      bearer(registry, "/v2/token", "https://github.com/oras-project/oras/issues/157"),
      {
        what: "names uploads outside of /v2/",
        source: "https://github.com/oras-project/rust-oci-client/pull/175",
      },
      {
        what: "rejects a second chunk",
        source: "https://github.com/containers/skopeo/issues/1101",
        take: ({ method, headers }, response) =>
          method === "PATCH" &&
          /^[1-9]/.test(headers["content-range"] ?? "") &&
          refuse(response, 405, "UNSUPPORTED"),
      },
      {
        what: "lists children and manifests next to tags",
        source: "https://github.com/google/go-containerregistry/blob/main/pkg/v1/google/list.go",
        take: ({ target }, response) => {
          const name = /^\/v2\/(.+)\/tags\/list/.exec(target)?.[1];
          if (name === undefined) return false;
          const own = registry.tags().filter((tag) => tag.startsWith(`${name}:`));
          const tags = own.map((tag) => tag.slice(name.length + 1));
          const manifest = { "sha256:00": { imageSizeBytes: "1", tag: tags } };
          return reply(response, 200, {}, JSON.stringify({ child: ["x"], manifest, name, tags }));
        },
      },
    ];
  },

  "GitHub's registry": (registry, storage) => [
    bearer(registry, "/token", "https://github.com/apple/swift-container-plugin/pull/44"),
    {
      what: "rejects chunks above 4 MiB",
      source: "https://github.com/ocx-sh/ocx/pull/237",
      take: ({ method, headers, body }, response) =>
        method === "PATCH" &&
        headers["content-range"] !== undefined &&
        body.byteLength > 4 * MIB &&
        refuse(response, 416, "REQUESTED_RANGE_NOT_SATISFIABLE", "the request body is too large"),
    },
    {
      what: "redirects referrers to pages of another host, which are limited",
      source: "https://github.com/artifacthub/hub/issues/4785",
      take: ({ target }, response) =>
        target.includes("/referrers/") &&
        reply(response, 303, { location: `${storage.url}/-/v2/packages/referrers%2Fsha256` }),
    },
    {
      what: "redirects blobs to storage that rejects HEAD",
      source: "https://github.com/containerd/stargz-snapshotter/pull/167",
      take: redirectedBlobs(registry, storage, ["GET", "HEAD"]),
    },
  ],

  Quay: (registry) => {
    registry.nextPage = (repository, last) =>
      `/v2/${repository}/tags/list?next_page=${encodeURIComponent(`${base64(last)}=`)}&n=50`;
    registry.lastTag = (query) => {
      const token = query.get("next_page");
      if (token === null) return null;
      // An equals sign that was not encoded would have been lost on the way.
      return token.endsWith("=") ? Buffer.from(token.slice(0, -1), "base64url").toString() : "";
    };
    let isFirst = true;
    return [
      bearer(
        registry,
        "/v2/auth",
        "https://github.com/quay/quay/blob/master/endpoints/v2/v2auth.py",
      ),
      {
        what: "prefixes ranges",
        source: "https://github.com/quay/quay/blob/master/endpoints/v2/blob.py",
        take: (request, response) => {
          if (request.method !== "PATCH") return false;
          const { byteLength } = takeChunk(registry, request);
          return reply(response, 202, { range: `bytes=0-${String(byteLength - 1)}` });
        },
      },
      {
        what: "limits the rate of lists, without Retry-After and with a page",
        source: "https://github.com/containers/image/issues/618",
        take: ({ target }, response) => {
          if (!isFirst || !target.includes("/tags/list")) return false;
          isFirst = false;
          return reply(response, 429, { "content-type": "text/html" }, "<html>");
        },
      },
      {
        what: "names the next page of tags by an encoded token",
        source: "https://github.com/deitch/docker_registry2/issues/56",
      },
      {
        what: "says 400 about the referrers of some manifests",
        source: "https://github.com/quay/quay/pull/3071",
        take: ({ target }, response) =>
          target.includes("/referrers/") && refuse(response, 400, "MANIFEST_INVALID"),
      },
    ];
  },

  "Harbor behind nginx": (registry) => [
    bearer(registry, "/service/token", "https://github.com/goharbor/harbor/issues/3114"),
    {
      what: "limits the size of requests, in nginx",
      source: "https://github.com/goharbor/harbor/issues/22353",
      take: ({ method, body }, response) =>
        method === "PATCH" && body.byteLength > 5 * MIB && reply(response, 413, {}, "<html>"),
    },
    {
      what: "says 401 to mounts from what it does not know",
      source: "https://github.com/goharbor/harbor/issues/17097",
      take: ({ method, target }, response) =>
        method === "POST" &&
        target.includes("mount=") &&
        refuse(response, 401, "UNAUTHORIZED", "project base not found"),
    },
    {
      what: "sends referrers as application/json",
      source: "https://github.com/goharbor/harbor/issues/19690",
      take: ({ target }, response) => {
        const tag = /^\/v2\/(.+)\/referrers\/sha256:(\w+)/.exec(target);
        const list = registry.manifests.get(`${tag?.[1] ?? ""}:sha256-${tag?.[2] ?? ""}`);
        const json = { "content-type": "application/json; charset=utf-8" };
        return list !== undefined && reply(response, 200, json, list.bytes);
      },
    },
  ],

  Artifactory: (registry) => [
    bearer(
      registry,
      "/artifactory/api/docker/r/v2/token",
      "https://github.com/renovatebot/renovate/issues/11765",
    ),
    {
      what: "says that a repository has the blobs of others, and does not serve them",
      source: "https://github.com/gardener/cc-utils/pull/1752",
      take: ({ method, target }, response) => {
        const at = method === "HEAD" ? blobAt(target) : undefined;
        if (at === undefined || registry.blobs.has(at)) return false;
        const [, digest] = at.split("@");
        const [, bytes] = [...registry.blobs].find(([name]) => name.endsWith(`@${digest!}`)) ?? [];
        if (bytes === undefined) return false;
        return reply(response, 200, { "content-length": String(bytes.byteLength) });
      },
    },
    {
      what: "rejects content in the last request of an upload",
      source: "https://github.com/docker/buildx/issues/196",
      never: ({ method, target, body }, response) =>
        method === "PUT" &&
        target.includes("/uploads/") &&
        body.byteLength > 0 &&
        refuse(response, 404, "BLOB_UNKNOWN"),
    },
    {
      what: "says 406 to lists of tags that are not asked for as JSON",
      source: "https://github.com/renovatebot/renovate/issues/3078",
      never: ({ target, headers }, response) =>
        target.includes("/tags/list") &&
        headers.accept !== "application/json" &&
        reply(response, 406),
    },
    {
      what: "sends manifests as application/json",
      source: "https://github.com/deitch/docker_registry2/pull/40",
      take: ({ method, target }, response) => {
        const [, repository, name] = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(target) ?? [];
        const at = `${repository ?? ""}${name?.includes(":") === true ? "@" : ":"}${name ?? ""}`;
        const found = method === "GET" ? registry.manifests.get(at) : undefined;
        const json = { "content-type": "application/json" };
        return found !== undefined && reply(response, 200, json, found.bytes);
      },
    },
    {
      what: "says 406 to requests for referrers",
      source: "https://github.com/google/go-containerregistry/issues/1962",
      take: ({ target }, response) => target.includes("/referrers/") && reply(response, 406),
    },
  ],
};

/** Answers as a vendor does; `seen` gets the traits that answered. */
export function behave(traits: readonly Trait[], seen: Set<Trait>): Script {
  return async (request, response) => {
    for (const trait of traits) {
      const script = trait.take ?? trait.never;
      if ((await script?.(request, response)) !== true) continue;
      seen.add(trait);
      return true;
    }
    return false;
  };
}

/** Storage with the blobs of a registry, at signed URLs. */
export function storageOf(blobs: () => Map<string, Buffer>): Script {
  return ({ method, target, headers }, response) => {
    const { pathname, searchParams } = new URL(target, "http://storage");
    if (method !== "GET") return reply(response, 403);
    // Storage that gets a signature and other credentials rejects both.
    if (headers.authorization !== undefined) return reply(response, 400, {}, "<Error/>");
    const found = blobs().get(decodeURIComponent(pathname.slice(1)));
    if (found === undefined || searchParams.get("sig") !== "a/b c") return reply(response, 403);
    return reply(response, 200, {}, found);
  };
}

function redirectedBlobs(
  registry: TestRegistry,
  storage: Storage,
  methods: readonly string[],
): Script {
  return ({ method, target }, response) => {
    const at = methods.includes(method) ? blobAt(target) : undefined;
    if (at === undefined || !registry.blobs.has(at)) return false;
    const location = `${storage.url}/${encodeURIComponent(at)}?sig=a%2Fb+c`;
    return reply(response, 307, { location });
  };
}

/** A token service of the registry; its tokens are good for the actions that they were asked for. */
function bearer(registry: TestRegistry, path: string, source: string): Trait {
  return {
    what: `issues tokens for actions at ${path}`,
    source,
    take({ method, target, headers }, response) {
      const url = new URL(target, registry.url);
      if (url.pathname === path) return issue(url, headers.authorization, response);
      const granted = scopesIn(headers.authorization);
      const needed = scopesFor(method, url);
      if (needed.every((scope) => granted.includes(scope))) return false;
      const challenge = `Bearer realm="${registry.url}${path}",service="r",scope="x"`;
      response.setHeader("www-authenticate", challenge);
      return refuse(response, 401, "UNAUTHORIZED", "authentication required");
    },
  };
}

function issue(url: URL, authorization: string | undefined, response: ServerResponse): true {
  if (authorization !== BASIC) return refuse(response, 401, "UNAUTHORIZED");
  const scopes = url.searchParams.getAll("scope").flatMap((scope) => {
    const [type = "", name = "", actions = ""] = scope.split(":");
    return actions.split(",").map((action) => `${type}:${name}:${action}`);
  });
  const token = base64(JSON.stringify(scopes));
  const json = { token, access_token: token, expires_in: 300, issued_at: "2020-01-01T00:00:00Z" };
  return reply(response, 200, { "content-type": "application/json" }, JSON.stringify(json));
}

function scopesIn(authorization = ""): string[] {
  const [scheme, token = ""] = authorization.split(" ");
  if (scheme !== "Bearer") return [];
  return JSON.parse(Buffer.from(token, "base64url").toString()) as string[];
}

function scopesFor(method: string, url: URL): string[] {
  const name = /^\/v2\/(.+?)\/(?:blobs|manifests|tags|referrers)\//.exec(url.pathname)?.[1];
  if (name === undefined) return [];
  const isRead = method === "GET" || method === "HEAD";
  const from = url.searchParams.get("from");
  return [
    `repository:${name}:${isRead ? "pull" : "push"}`,
    ...(from === null ? [] : [`repository:${from}:pull`]),
  ];
}

/** The name of a blob of a registry, if a request is for one. */
function blobAt(target: string): string | undefined {
  const [, repository, digest] = /^\/v2\/(.+)\/blobs\/(sha256:\w+)$/.exec(target) ?? [];
  return digest === undefined ? undefined : `${repository!}@${digest}`;
}

function takeChunk({ uploads }: TestRegistry, { target, body }: SeenRequest): Buffer {
  const id = /uploads\/([^?]+)/.exec(target)![1]!;
  const content = Buffer.concat([uploads.get(id)!, body]);
  uploads.set(id, content);
  return content;
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64url");
}
