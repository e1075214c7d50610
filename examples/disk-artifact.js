// Writes the disk of a virtual machine as the only layer of an artifact in an OCI layout.
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

export async function writeArtifact(layout, disk, mediaType, annotations = {}) {
  mkdirSync(join(layout.path, "blobs", "sha256"), { recursive: true });
  const hash = createHash("sha256");
  await pipeline(createReadStream(disk), hash);
  const layer = {
    mediaType,
    digest: `sha256:${hash.digest("hex")}`,
    size: statSync(disk).size,
  };
  await copyFile(disk, blobFile(layout, layer));
  const manifest = writeJson(layout, MANIFEST, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType: "application/vnd.example.disk",
    config: writeJson(layout, "application/vnd.oci.empty.v1+json", {}),
    layers: [layer],
    annotations,
  });
  const name = { "org.opencontainers.image.ref.name": layout.tag };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations: name }] };
  writeFileSync(join(layout.path, "index.json"), JSON.stringify(index));
  writeFileSync(join(layout.path, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

export function readArtifact(layout) {
  const { manifests } = JSON.parse(readFileSync(join(layout.path, "index.json"), "utf8"));
  const { layers, annotations } = JSON.parse(readFileSync(blobFile(layout, manifests[0]), "utf8"));
  return { disk: blobFile(layout, layers[0]), annotations };
}

export function blobFile({ path }, { digest }) {
  return join(path, "blobs", ...digest.split(":"));
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

function writeJson(layout, mediaType, value) {
  const text = JSON.stringify(value);
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  writeFileSync(blobFile(layout, { digest }), text);
  return { mediaType, digest, size: Buffer.byteLength(text) };
}
