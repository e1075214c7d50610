// Encrypts an image from one repository of a registry into another, then decrypts it.
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { decryptImage, encryptImage, inspectImage } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { parseRegistryReference, registryDestination, registrySource } from "ocicrypt/registry";
import { layoutSource } from "ocicrypt/store";
import { makeImage } from "./make-image.js";
import { copyImage, startRegistry } from "./start-registry.js";

const { host, directory, stop } = await startRegistry();
const at = (name) => parseRegistryReference(`docker://${host}/${name}`);
const app = { path: join(directory, "app"), tag: "latest" };
await makeImage(app.path, app.tag);
await copyImage(layoutSource(app), await registryDestination(at("app:1")));

// Layers pass through as streams. The registry itself mounts the blobs that stay plain.
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const encrypted = await encryptImage(
  registrySource(at("app:1")),
  await registryDestination(at("secret/app:1"), { mountFrom: at("app:1") }),
  { recipients: [jwe.recipient(publicKey.export({ type: "spki", format: "pem" }))] },
);
console.log(`${host}/secret/app:1 is ${encrypted.image.digest}`);
const { manifests } = await inspectImage(registrySource(at("secret/app:1")));
for (const { mediaType } of manifests[0].layers) console.log(`  ${mediaType}`);

const decrypted = await decryptImage(
  registrySource(at("secret/app:1")),
  await registryDestination(at("opened/app:1")),
  { keys: [jwe.key(privateKey.export({ type: "pkcs8", format: "pem" }))] },
);
console.log(`${host}/opened/app:1 is ${decrypted.image.digest}`);
const original = await registrySource(at("app:1")).resolve();
if (decrypted.image.digest !== original.digest)
  throw new Error("the image differs from the original");
await stop();
