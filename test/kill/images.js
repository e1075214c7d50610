import { createHash } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { extract } from "tar-stream";

const REF_NAME = "org.opencontainers.image.ref.name";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

const digestOf = (bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Makes an OCI layout of one image with these layers. */
export function makeLayout(path, tag, layers) {
  mkdirSync(join(path, "blobs", "sha256"), { recursive: true });
  const put = (bytes, mediaType) => {
    const digest = digestOf(bytes);
    writeFileSync(join(path, "blobs", ...digest.split(":")), bytes);
    return { mediaType, digest, size: Buffer.byteLength(bytes) };
  };
  const rootfs = { type: "layers", diff_ids: layers.map(digestOf) };
  const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs });
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: put(config, "application/vnd.oci.image.config.v1+json"),
    layers: layers.map((layer) => put(layer, "application/vnd.oci.image.layer.v1.tar")),
  };
  const entry = { ...put(JSON.stringify(manifest), MANIFEST), annotations: { [REF_NAME]: tag } };
  writeFileSync(join(path, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
}

/**
 * The images of a layout or archive, each with its tag, the digest of its manifest and how its
 * blobs are; none if nothing is there. This reads with nothing of the library.
 */
export async function readImages(path) {
  if (!existsSync(path)) return [];
  const files = statSync(path).isDirectory() ? readDirectory(path) : await readArchive(path);
  // A directory whose writer was killed before its index was there holds no image yet.
  if (!files.has("index.json")) return [];
  const blobs = new Map([...files].filter(([name]) => name.startsWith("blobs/")));
  const misnamed = [...blobs]
    .filter(([name, bytes]) => name !== `blobs/${digestOf(bytes).replace(":", "/")}`)
    .map(([name]) => name);
  const { manifests } = JSON.parse(files.get("index.json").toString());
  return manifests.map(({ digest, annotations }) => ({
    tag: annotations?.[REF_NAME],
    digest,
    problems: [...misnamed, ...missing(digest, blobs)],
  }));
}

/** @throws when a blob is missing, or has other content than its name says */
export function requireWhole({ tag, problems }) {
  if (problems.length > 0) throw new Error(`the image ${tag} lacks ${problems.join(", ")}`);
}

function missing(digest, blobs) {
  const find = (wanted) => blobs.get(`blobs/${wanted.replace(":", "/")}`);
  const bytes = find(digest);
  if (bytes === undefined) return [digest];
  const { config, layers } = JSON.parse(bytes.toString());
  return [config, ...layers]
    .filter((descriptor) => find(descriptor.digest)?.length !== descriptor.size)
    .map((descriptor) => descriptor.digest);
}

function readDirectory(path) {
  const names = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((name) => name.slice(path.length + 1))
    .filter((name) => !name.startsWith(".ocicrypt-"));
  return new Map(names.map((name) => [name, readFileSync(join(path, name))]));
}

async function readArchive(path) {
  const files = new Map();
  const reader = extract();
  const reading = pipeline(createReadStream(path), reader);
  for await (const entry of reader) {
    const chunks = [];
    for await (const chunk of entry) chunks.push(chunk);
    files.set(entry.header.name, Buffer.concat(chunks));
  }
  await reading;
  return files;
}
