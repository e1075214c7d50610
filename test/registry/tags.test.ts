import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { listTags } from "../../src/registry/index.js";
import { expectCode } from "../support/codes.js";
import { at, MANIFEST, QUICK, refuse, reply, testRegistry } from "./server.js";

describe("listTags", () => {
  it.each([1, 2, 3, 5, 1000])("reads a list in pages of %i to its end", async (pageSize) => {
    const registry = await testRegistry();
    for (const tag of ["a", "b", "c", "d", "e"]) registry.putManifest("app", tag, MANIFEST, tag);
    registry.putManifest("other", "x", MANIFEST, "{}");
    registry.pageSize = pageSize;
    expect(await listTags(at(registry, "app"), QUICK)).toEqual(["a", "b", "c", "d", "e"]);
    expect(registry.requests).toHaveLength(Math.ceil(5 / pageSize));
  });

  it("is empty if a registry sends null", async () => {
    const registry = await testRegistry();
    registry.script = (_, response) => reply(response, 200, {}, '{"name":"app","tags":null}');
    expect(await listTags(at(registry, "app"), QUICK)).toEqual([]);
  });

  const page = (...tags: unknown[]): string => JSON.stringify({ name: "app", tags });
  const next = (target: string): Record<string, string> => ({ link: `<${target}>; rel="next"` });

  it.each<[string, ErrorCode, (response: ServerResponse) => boolean]>([
    ["no repository", "IMAGE_NOT_FOUND", (r) => refuse(r, 404, "NAME_UNKNOWN")],
    ["a denial", "REGISTRY_DENIED", (r) => refuse(r, 403, "DENIED")],
    ["a page for people", "REGISTRY_INVALID_RESPONSE", (r) => reply(r, 200, {}, "<html>")],
    [
      "tags that only Go reads",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, {}, '{"Tags":[]}'),
    ],
    ["tags that are no list", "REGISTRY_INVALID_RESPONSE", (r) => reply(r, 200, {}, '{"tags":{}}')],
    [
      "a tag that is a path",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, {}, page("a", "../b")),
    ],
    ["a tag that is a number", "REGISTRY_INVALID_RESPONSE", (r) => reply(r, 200, {}, page(1))],
    [
      "a next page without new tags",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, next("/v2/app/tags/list?last=a"), page("a")),
    ],
    [
      "a next page on another host",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, next("https://elsewhere.example/v2/app/tags/list"), page("a")),
    ],
    [
      "a next page that others can read",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, next("http://elsewhere.example/v2/app/tags/list"), page("a")),
    ],
    [
      "more than 32 MiB",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, {}, page("a") + " ".repeat(32 * 1024 * 1024)),
    ],
  ])("rejects %s", async (_, code, answer) => {
    const registry = await testRegistry();
    registry.script = (_request, response) => answer(response);
    await expectCode(listTags(at(registry, "app"), QUICK), code);
  });

  it("sends no credentials to the host of a next page", async () => {
    const elsewhere = await testRegistry();
    const registry = await testRegistry();
    registry.script = (_, response) =>
      reply(response, 200, next(`${elsewhere.url}/v2/app/tags/list`), page("a"));
    await expectCode(listTags(at(registry, "app"), QUICK), "REGISTRY_INVALID_RESPONSE");
    expect(elsewhere.requests).toEqual([]);
  });
});
