// Encrypts the disk of a virtual machine: the only layer of an artifact in an OCI layout.
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { decryptImage, encryptImage } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { layoutDestination, layoutSource } from "ocicrypt/store";
import { requireProgram } from "./start-registry.js";

requireProgram("qemu-img");
const directory = mkdtempSync(join(tmpdir(), "ocicrypt-example-"));
const qemuImg = (...args) => execFileSync("qemu-img", args, { cwd: directory, encoding: "utf8" });

// A disk of 64 MiB with 8 MiB of random data.
const disk = join(directory, "disk.qcow2");
writeFileSync(join(directory, "data"), randomBytes(8 * 1024 * 1024));
qemuImg("convert", "-f", "raw", "-O", "qcow2", "data", disk);
qemuImg("resize", "-q", disk, "64M");

const plain = { path: join(directory, "plain"), tag: "disk" };
await makeArtifact(plain);

const encrypted = { path: join(directory, "encrypted"), tag: "disk" };
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
const { layers } = await encryptImage(layoutSource(plain), await layoutDestination(encrypted), {
  recipients: [jwe.recipient(publicKey.export({ format: "jwk" }))],
});
console.log(`${layers[0].after.mediaType}, ${layers[0].after.size} bytes`);

const decrypted = { path: join(directory, "decrypted"), tag: "disk" };
const result = await decryptImage(layoutSource(encrypted), await layoutDestination(decrypted), {
  keys: [jwe.key(privateKey.export({ format: "jwk" }))],
});
console.log(qemuImg("compare", disk, blobFile(decrypted, result.layers[0].after)).trim());
rmSync(directory, { recursive: true });

async function makeArtifact(layout) {
  mkdirSync(join(layout.path, "blobs", "sha256"), { recursive: true });
  const hash = createHash("sha256");
  await pipeline(createReadStream(disk), hash);
  const layer = {
    mediaType: "application/vnd.example.disk.qcow2",
    digest: `sha256:${hash.digest("hex")}`,
    size: statSync(disk).size,
  };
  await copyFile(disk, blobFile(layout, layer));
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = writeJson(layout, mediaType, {
    schemaVersion: 2,
    mediaType,
    artifactType: "application/vnd.example.disk",
    config: writeJson(layout, "application/vnd.oci.empty.v1+json", {}),
    layers: [layer],
  });
  const annotations = { "org.opencontainers.image.ref.name": layout.tag };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  writeFileSync(join(layout.path, "index.json"), JSON.stringify(index));
  writeFileSync(join(layout.path, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

function writeJson(layout, mediaType, value) {
  const text = JSON.stringify(value);
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  writeFileSync(blobFile(layout, { digest }), text);
  return { mediaType, digest, size: Buffer.byteLength(text) };
}

function blobFile({ path }, { digest }) {
  return join(path, "blobs", ...digest.split(":"));
}
