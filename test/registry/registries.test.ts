import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { registryDestination } from "../../src/registry/index.js";
import { chunked } from "../support/bytes.js";
import {
  at,
  digestOf,
  numbered,
  QUICK,
  refuse,
  reply,
  testRegistry,
  type SeenRequest,
  type TestRegistry,
} from "./server.js";

const MIB = 1024 * 1024;
const BLOB = numbered(6 * MIB);

/** The deviation of one registry. Returns whether it has answered. */
type Trait = (request: SeenRequest, response: ServerResponse, registry: TestRegistry) => boolean;

function takeChunk({ uploads }: TestRegistry, { target, body }: SeenRequest): Buffer {
  const id = /uploads\/([^?]+)/.exec(target)![1]!;
  const content = Buffer.concat([uploads.get(id)!, body]);
  uploads.set(id, content);
  return content;
}

/** Each by the report that describes it. */
const TRAITS: Record<string, Trait> = {
  // https://github.com/regclient/regclient/issues/81,
  // https://github.com/aws/containers-roadmap/issues/2831
  "Amazon ECR": (request, response, registry) => {
    const { method, target } = request;
    if (method === "GET" && target.includes("/uploads/"))
      return refuse(response, 404, "BLOB_UPLOAD_UNKNOWN");
    if (method === "PATCH") {
      takeChunk(registry, request);
      const first = registry.requests.find((earlier) => earlier.method === "PATCH")!;
      return reply(response, 201, { range: `0-${String(first.body.byteLength - 1)}` });
    }
    // Told at the end of an upload: all chunks but the last have a minimum.
    if (method !== "PUT" || !target.includes("/uploads/") || isStreamed(registry)) return false;
    const chunks = registry.requests.filter((earlier) => earlier.method === "PATCH");
    return chunks.slice(0, -1).some(({ body }) => body.byteLength < 5 * MIB)
      ? refuse(response, 400, "BLOB_UPLOAD_INVALID", "a part is too small")
      : false;
  },
  // https://github.com/containers/skopeo/issues/1101
  "Google Artifact Registry": ({ method, headers }, response) =>
    method === "PATCH" && /^[1-9]/.test(headers["content-range"] ?? "")
      ? refuse(response, 405, "UNSUPPORTED")
      : false,
  // https://github.com/ocx-sh/ocx/pull/237
  "GitHub's registry": ({ method, headers, body }, response) =>
    method === "PATCH" && headers["content-range"] !== undefined && body.byteLength > 4 * MIB
      ? refuse(response, 416, "REQUESTED_RANGE_NOT_SATISFIABLE", "the request body is too large")
      : false,
  // https://github.com/quay/quay/blob/master/endpoints/v2/blob.py: ranges have a prefix.
  Quay: (request, response, registry) => {
    if (request.method !== "PATCH") return false;
    const { byteLength } = takeChunk(registry, request);
    return reply(response, 202, { range: `bytes=0-${String(byteLength - 1)}` });
  },
  // https://github.com/goharbor/harbor/issues/22353: nginx before it has client_max_body_size.
  "Harbor behind nginx": ({ method, body }, response) =>
    method === "PATCH" && body.byteLength > 5 * MIB ? reply(response, 413, {}, "<html>") : false,
  // https://github.com/docker/buildx/issues/196
  Artifactory: ({ method, target, body }, response) =>
    method === "PUT" && target.includes("/uploads/") && body.byteLength > 0
      ? refuse(response, 404, "BLOB_UNKNOWN")
      : false,
};

/** Whether the last upload came as a stream. */
function isStreamed({ requests }: TestRegistry): boolean {
  const last = requests.filter(({ method }) => method === "PATCH").at(-1);
  return last?.headers["content-range"] === undefined;
}

describe.each(Object.entries(TRAITS))("%s", (_, trait) => {
  it.each([
    ["in the usual way", undefined],
    ["in chunks of 1 MiB", MIB],
    ["in chunks of 5 MiB", 5 * MIB],
  ])("accepts a blob %s", async (_way, chunkSize) => {
    const registry = await testRegistry();
    registry.script = (request, response) => trait(request, response, registry);
    const options = { ...QUICK, retries: 1, ...(chunkSize !== undefined && { chunkSize }) };
    const destination = await registryDestination(at(registry, "app"), options);
    const digest = digestOf(BLOB);
    const write = (): Promise<void> =>
      destination.write(chunked(BLOB, 100_000), () => ({ digest }));
    // A registry that wants another shape makes an image operation start the blob again, once.
    await write().catch(async (error: unknown) => {
      expect(error).toMatchObject({ code: "REGISTRY_UPLOAD_LOST" });
      await write();
    });
    expect(registry.blobs.get(`app@${digest}`)?.equals(BLOB)).toBe(true);
    expect(registry.uploads.size).toBe(0);
    // The working shape is remembered.
    registry.requests.length = 0;
    await write();
    const later = registry.requests.map(({ method }) => method);
    expect([later[0], later.at(-1)]).toEqual(["POST", "PUT"]);
  });
});
