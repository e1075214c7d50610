// Encrypts the next version of an image. Layers that did not change keep their encrypted blobs.
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { encryptImage } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { parseRegistryReference, registryDestination, registrySource } from "ocicrypt/registry";
import { layoutSource } from "ocicrypt/store";
import { makeImage } from "./make-image.js";
import { startRegistry } from "./start-registry.js";

const { host, directory, stop } = await startRegistry();
const app = (tag) => parseRegistryReference(`docker://${host}/app:${tag}`);
const [first, second] = ["1", "2"].map((tag) => ({ path: join(directory, `app-${tag}`), tag }));
await makeImage(first.path, first.tag);
await makeImage(second.path, second.tag, "The new recipe of the house.\n");

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const recipients = [jwe.recipient(publicKey.export({ type: "spki", format: "pem" }))];
await encryptImage(layoutSource(first), await registryDestination(app("1")), { recipients });

// The key opens the earlier image: without it, nobody can tell which layers are the same.
const keys = [jwe.key(privateKey.export({ type: "pkcs8", format: "pem" }))];
const { layers, warnings } = await encryptImage(
  layoutSource(second),
  await registryDestination(app("2")),
  { recipients, reuse: { image: registrySource(app("1")), keys } },
);
for (const { after, reused } of layers) {
  console.log(`${reused ? "kept    " : "uploaded"} ${after.digest}`);
}
for (const warning of warnings) console.log(`warning: ${warning}`);
if (layers.filter(({ reused }) => reused).length !== 1) throw new Error("one layer must be kept");
await stop();
