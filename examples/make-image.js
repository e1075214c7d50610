#!/usr/bin/env node
// Makes a small but real image: a manifest, a config and two layers of files.
//   node make-image.js DIRECTORY [TAG]
import { createHash } from "node:crypto";
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

/**
 * Writes an OCI layout that contains one image.
 *
 * @param {string} directory the layout; it is created if it does not exist
 * @param {string} tag the image's name in the layout
 * @param {string} secret the content of the upper layer
 */
export async function makeImage(directory, tag, secret = "The recipe of the house.\n") {
  const blobs = join(directory, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });

  function writeBlob(mediaType, bytes) {
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.byteLength };
  }

  const tars = [
    await tar({
      "etc/motd": "An image to try encryption with.\n",
      "srv/data.bin": Buffer.alloc(200_000, 7),
    }),
    await tar({ "srv/secret.txt": secret }),
  ];
  const layers = tars.map((bytes) =>
    writeBlob("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(bytes)),
  );
  const config = writeBlob(
    "application/vnd.oci.image.config.v1+json",
    json({
      architecture: "amd64",
      os: "linux",
      config: { Cmd: ["/bin/cat", "/srv/secret.txt"] },
      rootfs: { type: "layers", diff_ids: tars.map(digest) },
    }),
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = writeBlob(mediaType, json({ schemaVersion: 2, mediaType, config, layers }));
  const annotations = { "org.opencontainers.image.ref.name": tag };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  writeFileSync(join(directory, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(join(directory, "index.json"), json(index));
}

async function tar(files) {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) {
    archive.entry({ name, mtime: new Date(0) }, content);
  }
  archive.finalize();
  const chunks = [];
  for await (const chunk of archive) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function json(value) {
  return Buffer.from(JSON.stringify(value));
}

function digest(bytes) {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

const [, script, directory, tag = "latest"] = process.argv;
if (script !== undefined && import.meta.url === pathToFileURL(realpathSync(script)).href) {
  if (directory === undefined) throw new Error("usage: make-image.js DIRECTORY [TAG]");
  await makeImage(directory, tag);
}
