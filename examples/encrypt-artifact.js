// Encrypts the disk of a virtual machine: the only layer of an artifact in an OCI layout.
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decryptImage, encryptImage } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { layoutDestination, layoutSource } from "ocicrypt/store";
import { blobFile, writeArtifact } from "./disk-artifact.js";
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
await writeArtifact(plain, disk, "application/vnd.example.disk.qcow2");

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
