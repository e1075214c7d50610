import { describe, expect, it } from "vitest";
import { parseRegistryReference, type RegistryReference } from "../../src/registry/index.js";
import { isLoopback } from "../../src/http/transport.js";
import { apiUrl, showReference } from "../../src/registry/reference.js";
import { registrySource } from "../../src/registry/source.js";
import { expectCode } from "../support/codes.js";

const HEX = "b".repeat(64);
const DIGEST = `sha256:${HEX}`;

// How skopeo reads these: https://github.com/distribution/reference/blob/main/normalize.go
const VALID: readonly [string, RegistryReference][] = [
  ["docker://registry.example/app", { host: "registry.example", repository: "app", tag: "latest" }],
  ["docker://registry.example/app:1", { host: "registry.example", repository: "app", tag: "1" }],
  [
    "docker://registry.example:5000/team/app:v1.2-rc_3",
    { host: "registry.example:5000", repository: "team/app", tag: "v1.2-rc_3" },
  ],
  ["docker://localhost/app", { host: "localhost", repository: "app", tag: "latest" }],
  ["docker://127.0.0.1:5000/a/b", { host: "127.0.0.1:5000", repository: "a/b", tag: "latest" }],
  ["docker://[::1]:5000/a", { host: "[::1]:5000", repository: "a", tag: "latest" }],
  ["docker://UPPER/app", { host: "UPPER", repository: "app", tag: "latest" }],
  [`docker://r.example/app@${DIGEST}`, { host: "r.example", repository: "app", digest: DIGEST }],
  [
    `docker://r.example/app:1@${DIGEST}`,
    { host: "r.example", repository: "app", tag: "1", digest: DIGEST },
  ],
  [
    `docker://r.example/app@sha512:${HEX}${HEX}`,
    { host: "r.example", repository: "app", digest: `sha512:${HEX}${HEX}` },
  ],
  ["docker://busybox", { host: "docker.io", repository: "library/busybox", tag: "latest" }],
  ["docker://debian:12", { host: "docker.io", repository: "library/debian", tag: "12" }],
  ["docker://busybox:1.36", { host: "docker.io", repository: "library/busybox", tag: "1.36" }],
  ["docker://user/app", { host: "docker.io", repository: "user/app", tag: "latest" }],
  [
    "docker://docker.io/busybox",
    { host: "docker.io", repository: "library/busybox", tag: "latest" },
  ],
  ["docker://index.docker.io/a/b", { host: "docker.io", repository: "a/b", tag: "latest" }],
  [
    "docker://r.example/a__b-c--d.e",
    { host: "r.example", repository: "a__b-c--d.e", tag: "latest" },
  ],
];

const INVALID = [
  "registry.example/app",
  "oci:app",
  "docker:registry.example/app",
  "docker://",
  "docker:///app",
  "docker://r.example/",
  "docker://r.example/App",
  "docker://r.example/app:",
  "docker://r.example/app:-x",
  `docker://r.example/app:${"x".repeat(129)}`,
  "docker://r.example/app@",
  "docker://r.example/app@sha256:00",
  `docker://r.example/app@md5:${HEX}`,
  `docker://r.example/app@${DIGEST}@${DIGEST}`,
  "docker://r.example/../app",
  "docker://r.example/a//b",
  "docker://r.example/a/./b",
  "docker://r.example/a%2fb",
  "docker://r.example/a?b",
  "docker://r.example/a#b",
  "docker://r.example/a b",
  "docker://r.example/a_-b",
  "docker://user:secret@r.example/app",
  "docker://r.example:99999/app",
  "docker://r.example:/app",
  "docker://-r.example/app",
  "docker://[::1/app",
  "docker://[zz::1]:80/app",
  `docker://r.example/${"a/".repeat(150)}a`,
];

describe("references", () => {
  it.each(VALID)("%s", (text, expected) => {
    expect(parseRegistryReference(text)).toEqual(expected);
  });

  it.each(INVALID)("rejects %s", async (text) => {
    await expectCode(() => parseRegistryReference(text), "REFERENCE_INVALID");
  });

  it.each([
    ["docker://host:5000", "write docker://host:5000/REPOSITORY:TAG"],
    ["docker://localhost", "write docker://localhost/REPOSITORY:TAG"],
    ["docker://localhost:5000", "write docker://localhost:5000/REPOSITORY:TAG"],
    ["docker://r.example:1", "write docker://r.example/REPOSITORY:TAG"],
    ["docker://ghcr.io", "docker://docker.io/library/ghcr.io is an image of Docker Hub"],
    ["docker://http://r.example/app", "leave out http://"],
    ["docker://https://r.example/app:1", "leave out https://"],
  ])("%s is rejected: %s", async (text, expected) => {
    const { message } = await expectCode(() => parseRegistryReference(text), "REFERENCE_INVALID");
    expect(message).toContain(expected);
  });

  it("whose password is a number are rejected without it", async () => {
    const text = "docker://alice:12345@r.example";
    const { message } = await expectCode(() => parseRegistryReference(text), "REFERENCE_INVALID");
    expect(message).not.toContain("12345");
  });

  it.each([
    "docker://alice:s3cret@127.0.0.1:5057/enc/app:1",
    "docker://s3cret@r.example/app",
    "docker://alice:s3cret/x@r.example/app",
    "docker://alice:s3@cret@r.example/app:1",
    `docker://alice:s3cret@r.example/app@${DIGEST}`,
  ])("%s is rejected without the password", async (text) => {
    const { message } = await expectCode(() => parseRegistryReference(text), "REFERENCE_INVALID");
    expect(message).toContain("credentials do not go into the name of an image");
    expect(message).not.toMatch(/alice|s3|cret/);
  });

  it.each(["docker://alice:s3cret@r.example", "https://alice:s3cret@r.example/app"])(
    "%s is also rejected without the password",
    async (text) => {
      const { message } = await expectCode(() => parseRegistryReference(text), "REFERENCE_INVALID");
      expect(message).toContain("…@r.example");
      expect(message).not.toMatch(/alice|s3cret/);
    },
  );

  it("are quoted if they name a digest", async () => {
    const text = `docker://r.example/App@${DIGEST}`;
    const { message } = await expectCode(() => parseRegistryReference(text), "REFERENCE_INVALID");
    expect(message).toBe(`"${text}" is not an image: its repository must be lowercase`);
  });

  it("are quoted if they name a mistyped digest", async () => {
    const text = "docker://r.example:5000/app@sha256:abc";
    const { message } = await expectCode(() => parseRegistryReference(text), "REFERENCE_INVALID");
    expect(message).toBe(`"${text}" is not an image: its digest is not valid`);
  });

  it("cannot contain credentials in code", async () => {
    const reference = { host: "alice:s3cret@r.example", repository: "app", tag: "1" };
    const { message } = await expectCode(() => registrySource(reference), "REFERENCE_INVALID");
    expect(message).toContain("credentials do not go");
    expect(message).not.toContain("s3cret");
  });

  it.each<[string, Partial<RegistryReference>]>([
    ["a repository that leads elsewhere", { repository: "../../v1" }],
    ["a host with a path", { host: "r.example/x" }],
    ["a host with a name before it", { host: "user@r.example" }],
    ["a tag that is a path", { tag: "../x" }],
    ["an invalid digest", { digest: "latest" }],
  ])("%s is also rejected in code", async (_, part) => {
    const reference = { host: "r.example", repository: "app", ...part };
    await expectCode(() => registrySource(reference), "REFERENCE_INVALID");
  });

  it("are shown as they are written", () => {
    for (const [text, reference] of VALID) {
      expect(parseRegistryReference(showReference(reference)), text).toEqual(reference);
    }
  });

  it.each([
    ["docker.io", false, "https://registry-1.docker.io/"],
    ["r.example:5000", false, "https://r.example:5000/"],
    ["r.example", true, "http://r.example/"],
  ])("the API of %s", (host, plain, url) => {
    expect(apiUrl(host, plain).href).toBe(url);
  });

  it.each([
    ["localhost:5000", true],
    ["127.0.0.1", true],
    ["127.1.2.3", true],
    ["[::1]:5000", true],
    ["127.0.0.1.r.example", false],
    ["localhost.r.example", false],
    ["10.0.0.1", false],
    ["[::ffff:1]", false],
  ])("%s is this machine: %s", (host, expected) => {
    expect(isLoopback(apiUrl(host, true))).toBe(expected);
  });
});
