import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { listReferrers, registrySource } from "../../src/registry/index.js";
import { expectCode } from "../support/codes.js";
import { at, digestOf, INDEX, MANIFEST, QUICK, refuse, reply, testRegistry } from "./server.js";

const SUBJECT = digestOf("subject");
const referrer = (name: string): Record<string, unknown> => ({
  mediaType: MANIFEST,
  digest: digestOf(name),
  size: 3,
  artifactType: "application/vnd.example.signature",
  annotations: { name },
});
const index = (...names: string[]): string =>
  JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: names.map(referrer) });
const typed = { "content-type": INDEX };

describe("referrers", () => {
  it("are read page by page", async () => {
    const registry = await testRegistry();
    registry.script = ({ target }, response) =>
      target.includes("last=a")
        ? reply(response, 200, typed, index("b"))
        : reply(response, 200, { ...typed, link: `<${target}?last=a>; rel="next"` }, index("a"));
    expect(await listReferrers(at(registry, "app"), SUBJECT, QUICK)).toEqual(
      ["a", "b"].map(referrer),
    );
    expect(registry.log()[0]).toBe(`GET /v2/app/referrers/${SUBJECT}`);
  });

  it("are also returned by an image source", async () => {
    const registry = await testRegistry();
    registry.script = (_, response) => reply(response, 200, typed, index("a"));
    const source = registrySource(at(registry, "app"), QUICK);
    expect(await source.referrers?.(SUBJECT)).toEqual([referrer("a")]);
    const signal = AbortSignal.abort(new Error("stopped"));
    await expect(source.referrers?.(SUBJECT, { signal })).rejects.toThrow("stopped");
    expect(registry.log()).toEqual([`GET /v2/app/referrers/${SUBJECT}`]);
  });

  it.each<[string, string, string]>([
    ["sha256", SUBJECT, `sha256-${SUBJECT.slice(7)}`],
    ["sha512", digestOf("s", "sha512"), `sha512-${digestOf("s", "sha512").slice(7, 71)}`],
  ])("of a %s digest are read from the tag if there is no list", async (_, digest, tag) => {
    const registry = await testRegistry();
    registry.putManifest("app", tag, INDEX, index("a"));
    expect(await listReferrers(at(registry, "app"), digest, QUICK)).toEqual([referrer("a")]);
  });

  // Of Artifactory, GitHub's registry, Quay and others: see ./vendors.ts.
  it.each<[string, (response: ServerResponse) => boolean]>([
    ["400", (r) => refuse(r, 400, "MANIFEST_INVALID")],
    ["405", (r) => refuse(r, 405, "UNSUPPORTED")],
    ["406", (r) => reply(r, 406)],
    ["501", (r) => reply(r, 501)],
    ["a redirect to another host", (r) => reply(r, 303, { location: "https://r.example/" })],
    ["a redirect that is not safe", (r) => reply(r, 302, { location: "http://r.example/" })],
    ["a page", (r) => reply(r, 200, { "content-type": "text/html" }, "<html>")],
    ["a page without a type", (r) => reply(r, 200, {}, "<html>")],
  ])("are read from the tag if the list is answered with %s", async (_, script) => {
    const registry = await testRegistry();
    registry.putManifest("app", `sha256-${SUBJECT.slice(7)}`, INDEX, index("a"));
    registry.script = ({ target }, response) => target.includes("/referrers/") && script(response);
    expect(await listReferrers(at(registry, "app"), SUBJECT, QUICK)).toEqual([referrer("a")]);
    expect(registry.requests).toHaveLength(2);
  });

  it.each(["application/json", "application/json; charset=utf-8"])(
    "are read from a list of the type %s",
    async (type) => {
      const registry = await testRegistry();
      registry.script = (_, response) => reply(response, 200, { "content-type": type }, index("a"));
      expect(await listReferrers(at(registry, "app"), SUBJECT, QUICK)).toEqual([referrer("a")]);
    },
  );

  it("are empty if there is neither", async () => {
    const registry = await testRegistry();
    expect(await listReferrers(at(registry, "app"), SUBJECT, QUICK)).toEqual([]);
    expect(registry.requests).toHaveLength(2);
  });

  it.each<[string, ErrorCode, (response: ServerResponse) => boolean]>([
    ["a page", "REGISTRY_INVALID_RESPONSE", (r) => reply(r, 200, {}, "<html>")],
    ["broken JSON", "MANIFEST_INVALID", (r) => reply(r, 200, typed, "{")],
    ["no list", "MANIFEST_INVALID", (r) => reply(r, 200, typed, "{}")],
    ["too much", "REGISTRY_INVALID_RESPONSE", (r) => reply(r, 200, typed, " ".repeat(4194305))],
    [
      "pages without end",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, { ...typed, link: "<?x>; rel=next" }, index()),
    ],
    [
      "a next page on another host",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, { ...typed, link: "<https://elsewhere.example/>; rel=next" }, index()),
    ],
    [
      "a next page that others can read",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, { ...typed, link: "<http://elsewhere.example/>; rel=next" }, index()),
    ],
    [
      "a next page without a URL",
      "REGISTRY_INVALID_RESPONSE",
      (r) => reply(r, 200, { ...typed, link: '<>x>; rel="next"' }, index()),
    ],
    ["403", "REGISTRY_DENIED", (r) => refuse(r, 403, "DENIED")],
  ])("fail if the registry sends %s", async (_, code, script) => {
    const registry = await testRegistry();
    registry.script = (_request, response) => script(response);
    await expectCode(listReferrers(at(registry, "app"), SUBJECT, QUICK), code);
  });

  it("need a digest", async () => {
    const registry = await testRegistry();
    await expectCode(listReferrers(at(registry, "app"), "latest", QUICK), "DESCRIPTOR_INVALID");
  });
});
