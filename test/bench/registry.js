// From one repository of a registry to another, beside skopeo: the command as a whole process.
import { spawn, spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { measure, summary } from "./measure.js";

const COMMAND = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
/** In millions of bytes. */
const LAYERS = [180, 120, 90, 74, 60, 40, 10];
const ROUNDS = 5;

/** Writes an image whose layers do not compress, as an OCI layout. */
function writeImage(directory) {
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (content) => {
    const bytes = Buffer.from(content);
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.byteLength };
  };
  const contents = LAYERS.map((size) => randomBytes(size * 1e6));
  const diffIds = contents.map(
    (bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
  );
  const layers = contents.map((bytes) => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    ...put(gzipSync(bytes, { level: 1 })),
  }));
  const rootfs = { type: "layers", diff_ids: diffIds };
  const config = {
    mediaType: "application/vnd.oci.image.config.v1+json",
    ...put(JSON.stringify({ architecture: "amd64", os: "linux", rootfs })),
  };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = put(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  const index = { schemaVersion: 2, manifests: [{ mediaType, ...manifest }] };
  writeFileSync(join(directory, "index.json"), JSON.stringify(index));
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts Docker's registry. */
async function startRegistry(storage) {
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(storage, "config.yml");
  mkdirSync(storage, { recursive: true });
  writeFileSync(
    config,
    `{version: 0.1, log: {level: error, accesslog: {disabled: true}}, http: {addr: "${host}"},
     storage: {filesystem: {rootdirectory: ${storage}}}}`,
  );
  const server = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  for (let tries = 0; tries < 100; tries++) {
    if (await fetch(`http://${host}/v2/`).then(Boolean, () => false)) break;
    await setTimeout(100);
  }
  return { host, stop: () => server.kill() };
}

/** Removes what a round pushed, so that each round has the same work. */
function removeCopies(storage) {
  const repositories = join(storage, "docker/registry/v2/repositories");
  for (const name of readdirSync(repositories)) {
    if (name !== "plain") rmSync(join(repositories, name), { recursive: true });
  }
}

/**
 * Copies and encrypts an image of 574 MB with both programs in turn.
 *
 * @param directory a temporary directory; in memory, so that no disk is measured
 * @returns the {@link summary} of each program, or nothing where one is missing
 */
export async function registryRounds(directory) {
  const missing = ["skopeo", "docker-registry"].find(
    (program) => spawnSync(program, ["--version"]).error !== undefined,
  );
  if (missing !== undefined) {
    console.error(`${missing} is not installed: the row of registries stays empty`);
    return undefined;
  }
  const layout = join(directory, "image");
  const storage = join(directory, "storage");
  const key = join(directory, "public.pem");
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(key, publicKey.export({ type: "spki", format: "pem" }));
  writeImage(layout);
  const registry = await startRegistry(storage);
  const at = (name) => `docker://${registry.host}/${name}:1`;
  const tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
  const taken = { ours: [], skopeo: [] };
  try {
    measure(["skopeo", "copy", "-q", ...tls, `oci:${layout}`, at("plain")]);
    // The first round warms up.
    for (let round = -1; round < ROUNDS; round++) {
      const [to, copy] = ["ours", "skopeo"].map((name) => at(`${name}${round + 1}`));
      const recipient = `jwe:${key}`;
      const ours = measure([process.execPath, COMMAND, "encrypt", "-q", at("plain"), to, "-r", recipient]); // prettier-ignore
      const skopeo = measure(["skopeo", "copy", "-q", ...tls, "--encryption-key", recipient, at("plain"), copy]); // prettier-ignore
      removeCopies(storage);
      if (round < 0) continue;
      taken.ours.push(ours);
      taken.skopeo.push(skopeo);
    }
  } finally {
    registry.stop();
  }
  const [ours, skopeo] = [taken.ours, taken.skopeo].map((all) => summary(all, taken.ours));
  return { ours, skopeo };
}
