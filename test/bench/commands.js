// The command as a whole process, from layout to layout, beside other programs that do the same.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { measure, summary } from "./measure.js";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const COMMAND = file("../../dist/cli/main.js");
const BUILD = file("../interop/build-peers.sh");
const LIMIT = file("limit.js");
const MIB = 1024 * 1024;

/** The images of each part of the benchmark, with the rounds that each image gets. */
export const IMAGES = {
  small: [{ name: "3 layers of 4 MiB", layers: 3, mib: 4, rounds: 9 }],
  size: [
    { name: "1 layer of 16 MiB", layers: 1, mib: 16, rounds: 9 },
    { name: "1 layer of 256 MiB", layers: 1, mib: 256, rounds: 5 },
    { name: "1 layer of 1 GiB", layers: 1, mib: 1024, rounds: 5, skopeo: 2 },
    { name: "1 layer of 4 GiB", layers: 1, mib: 4096, rounds: 2 },
  ],
  layers: [
    { name: "2 layers of 256 MiB", layers: 2, mib: 256, rounds: 5 },
    { name: "4 layers of 256 MiB", layers: 4, mib: 256, rounds: 5 },
    { name: "8 layers of 256 MiB", layers: 8, mib: 256, rounds: 3 },
  ],
  gzip: [{ name: "8 gzip layers of 64 MiB", layers: 8, mib: 64, gzip: true, rounds: 5 }],
  disk: [{ name: "1 layer of 1 GiB", layers: 1, mib: 1024, rounds: 3 }],
};

/** Writes a layer of random bytes in which each MiB differs, or one that gzip halves. */
function writeLayer(blobs, mib, gzip) {
  const file = join(blobs, "layer");
  const descriptor = openSync(file, "w");
  const [digest, diffId] = [createHash("sha256"), createHash("sha256")];
  const block = randomBytes(MIB);
  // Half of the bits of each byte.
  if (gzip) for (let i = 0; i < MIB; i++) block[i] &= 15;
  let size = 0;
  for (let i = 0; i < mib; i++) {
    block.writeUInt32LE(i);
    diffId.update(block);
    // A file of several gzip members is one gzip file (RFC 1952 section 2.2).
    const bytes = gzip ? gzipSync(block, { level: 1 }) : block;
    digest.update(bytes);
    size += writeSync(descriptor, bytes);
  }
  closeSync(descriptor);
  const hex = digest.digest("hex");
  renameSync(file, join(blobs, hex));
  const mediaType = `application/vnd.oci.image.layer.v1.tar${gzip ? "+gzip" : ""}`;
  return {
    layer: { mediaType, digest: `sha256:${hex}`, size },
    diffId: `sha256:${diffId.digest("hex")}`,
  };
}

function writeImage(directory, { layers, mib, gzip = false }) {
  const blobs = join(directory, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const put = (value) => {
    const bytes = Buffer.from(JSON.stringify(value));
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.byteLength };
  };
  const made = Array.from({ length: layers }, () => writeLayer(blobs, mib, gzip));
  const rootfs = { type: "layers", diff_ids: made.map(({ diffId }) => diffId) };
  const config = {
    mediaType: "application/vnd.oci.image.config.v1+json",
    ...put({ architecture: "amd64", os: "linux", config: {}, rootfs }),
  };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = { schemaVersion: 2, mediaType, config, layers: made.map(({ layer }) => layer) };
  const annotations = { "org.opencontainers.image.ref.name": "1" };
  const entry = { mediaType, ...put(manifest), annotations };
  writeFileSync(
    join(directory, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [entry] }),
  );
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

/** The programs that are here, and how each is called. */
function programs(directory, pair) {
  const at = (name) => `oci:${name}:1`;
  const ours = {
    encrypt: (a, b) => [process.execPath, COMMAND, "encrypt", "-q", at(a), at(b), "-r", `jwe:${pair.public}`], // prettier-ignore
    decrypt: (a, b) => [process.execPath, COMMAND, "decrypt", "-q", at(a), at(b), "-k", pair.private], // prettier-ignore
  };
  const limit = (a, b) => [process.execPath, LIMIT, a, b];
  const found = { ours, limit: { encrypt: limit, decrypt: limit } };
  try {
    execFileSync("bash", [BUILD, directory, "image-copy"], { stdio: "ignore" });
    const copy = join(directory, "image-copy");
    found.go = {
      encrypt: (a, b) => [copy, "-encryption-key", `jwe:${pair.public}`, at(a), at(b)],
      decrypt: (a, b) => [copy, "-decryption-key", pair.private, at(a), at(b)],
    };
  } catch {
    console.error("Go's copy library cannot be built: its rows stay empty");
  }
  if (spawnSync("skopeo", ["--version"]).error === undefined) {
    found.skopeo = {
      encrypt: (a, b) => ["skopeo", "copy", "-q", "--encryption-key", `jwe:${pair.public}`, at(a), at(b)], // prettier-ignore
    };
  }
  return found;
}

/**
 * Encrypts and decrypts each image with all programs in turn.
 *
 * @param directory a temporary directory
 * @param images some of {@link IMAGES}
 * @returns for each image and operation, the {@link summary} of each program
 */
export function commandRounds(directory, images) {
  const pair = { public: join(directory, "public.pem"), private: join(directory, "private.pem") };
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(pair.public, publicKey.export({ type: "spki", format: "pem" }));
  writeFileSync(pair.private, privateKey.export({ type: "pkcs8", format: "pem" }));
  const found = programs(directory, pair);
  const [plain, encrypted, output] = ["plain", "encrypted", "output"].map((name) =>
    join(directory, name),
  );
  const remove = (path) => rmSync(path, { recursive: true, force: true });
  const rows = [];
  for (const image of images) {
    writeImage(plain, image);
    for (const operation of ["encrypt", "decrypt"]) {
      const taken = {};
      // The first round warms up.
      for (let round = -1; round < image.rounds; round++) {
        for (const [program, calls] of Object.entries(found)) {
          if (calls[operation] === undefined) continue;
          if (program === "skopeo" && round >= (image.skopeo ?? -1)) continue;
          // Decompression is no part of the limit.
          if (program === "limit" && image.gzip) continue;
          const figures = measure(calls[operation](operation === "encrypt" ? plain : encrypted, output)); // prettier-ignore
          if (round >= 0) (taken[program] ??= []).push(figures);
          // There is room for two copies of the largest image in memory.
          if (program === "ours" && operation === "encrypt" && round === image.rounds - 1) {
            renameSync(output, encrypted);
          } else remove(output);
        }
      }
      if (operation === "encrypt") remove(plain);
      const summaries = Object.entries(taken).map(([name, all]) => [
        name,
        summary(all, taken.ours),
      ]);
      rows.push({ image: image.name, operation, ...Object.fromEntries(summaries) });
      console.error(JSON.stringify(rows.at(-1)));
    }
    remove(encrypted);
  }
  return rows;
}
