import { createHash, randomBytes } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { decryptImage, encryptImage, inspectImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { registryDestination, registrySource } from "../../src/registry/index.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import {
  dockerRegistry,
  stopRegistries,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import {
  diffIds,
  hasProgram,
  keyFile,
  PLAIN_LAYOUT,
  requirePeer,
  succeed,
  temporaryDirectory,
} from "./peers.js";

const directory = temporaryDirectory();
stopRegistries();

const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const WARNING =
  "converted from Docker's format: decryption restores the layers, but not the manifest's digest";

const recipients = [jwe.recipient(readFileSync(keyFile("ec256.pub.pem")))];
const keys = [jwe.key(readFileSync(keyFile("ec256.pkcs8.pem")))];
const newDirectory = (): string => join(directory, randomBytes(8).toString("hex"));

const hasRegistry = hasProgram("docker-registry", "--version");
const hasSkopeo = hasProgram("skopeo", "--version");

const skopeo = (...args: string[]): Promise<Buffer> => succeed("skopeo", args);

describe("an image that skopeo has written in Docker's format", () => {
  it("is encrypted from a layout, and opened by skopeo", async (context) => {
    requirePeer(context, "skopeo", hasSkopeo);
    const [docker, plain, encrypted, opened] = [
      newDirectory(),
      newDirectory(),
      newDirectory(),
      newDirectory(),
    ];
    await skopeo("copy", "-q", "--format", "v2s2", `oci:${PLAIN_LAYOUT}:latest`, `dir:${docker}`);
    makeLayout(docker, plain);

    const report = await inspectImage(layoutSource({ path: plain }));
    expect(report.mediaType).toBe(DOCKER_MANIFEST);
    const to = await layoutDestination({ path: encrypted, tag: "latest" });
    const { image, warnings } = await encryptImage(layoutSource({ path: plain }), to, {
      recipients,
    });
    expect(image.mediaType).toBe(MANIFEST);
    expect(warnings).toContain(WARNING);
    await skopeo(
      ...["copy", "-q", "--decryption-key", keyFile("ec256.pkcs8.pem")],
      ...[`oci:${encrypted}:latest`, `oci:${opened}:latest`],
    );
    expect(diffIds(opened)).toEqual(diffIds(PLAIN_LAYOUT));
  });

  describe("to Docker's registry", () => {
    let registry: DockerRegistry;
    beforeAll(async () => {
      if (!hasRegistry || !hasSkopeo) return;
      registry = await dockerRegistry(directory);
      await skopeo(
        ...["copy", "-q", "--format", "v2s2", "--dest-tls-verify=false"],
        ...[`oci:${PLAIN_LAYOUT}:latest`, `docker://${registry.host}/plain:latest`],
      );
    });

    function requireBoth(context: TestContext): void {
      requirePeer(context, "docker-registry", hasRegistry);
      requirePeer(context, "skopeo", hasSkopeo);
    }

    it("is encrypted there, and opened by skopeo", async (context) => {
      requireBoth(context);
      const source = registrySource(registry.at("plain"), { credentials: noCredentials });
      expect((await source.resolve()).mediaType).toBe(DOCKER_MANIFEST);
      const to = await registryDestination(registry.at("secret"), { credentials: noCredentials });
      const { image, warnings } = await encryptImage(source, to, { recipients });
      expect(image.mediaType).toBe(MANIFEST);
      // This registry does not list referrers, and has no tag in place of the list.
      expect(warnings).toEqual([WARNING]);

      const opened = newDirectory();
      await skopeo(
        ...["copy", "-q", "--src-tls-verify=false"],
        ...["--decryption-key", keyFile("ec256.pkcs8.pem")],
        ...[`docker://${registry.host}/secret:latest`, `oci:${opened}:latest`],
      );
      expect(diffIds(opened)).toEqual(diffIds(PLAIN_LAYOUT));

      const from = registrySource(registry.at("secret"), { credentials: noCredentials });
      const here = newDirectory();
      await decryptImage(from, await layoutDestination({ path: here }), { keys });
      expect(diffIds(here)).toEqual(diffIds(PLAIN_LAYOUT));
    });
  });
});

const noCredentials = (): Promise<undefined> => Promise.resolve(undefined);

/** An OCI layout around a manifest and blobs that skopeo has put into a directory. */
function makeLayout(from: string, path: string): void {
  const blobs = join(path, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  for (const name of readdirSync(from).filter((each) => /^[0-9a-f]{64}$/.test(each))) {
    cpSync(join(from, name), join(blobs, name));
  }
  const manifest = readFileSync(join(from, "manifest.json"));
  const { mediaType } = JSON.parse(manifest.toString()) as { mediaType: string };
  const hex = createHash("sha256").update(manifest).digest("hex");
  writeFileSync(join(blobs, hex), manifest);
  writeFileSync(join(path, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const entry = { mediaType, digest: `sha256:${hex}`, size: manifest.byteLength };
  writeFileSync(join(path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
}
