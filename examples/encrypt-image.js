// Encrypts an image in an OCI layout in place, like the last step of a build.
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isOcicryptError } from "ocicrypt";
import { decryptImage, encryptImage, inspectImage } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { layoutDestination, layoutSource } from "ocicrypt/store";
import { makeImage } from "./make-image.js";

const directory = mkdtempSync(join(tmpdir(), "ocicrypt-example-"));
const app = { path: join(directory, "app"), tag: "latest" };
await makeImage(app.path, app.tag);
const [alice, bob] = [1, 2].map(() => generateKeyPairSync("ec", { namedCurve: "P-384" }));

const { image, layers, warnings } = await encryptImage(
  layoutSource(app),
  await layoutDestination(app),
  {
    recipients: [jwe.recipient(alice.publicKey.export({ format: "jwk" }))],
    onProgress: ({ bytes, size }) => process.stdout.write(`\r${bytes} of ${size} bytes`),
  },
);
console.log(`\n${layers.length} layers encrypted, the image is ${image.digest}`);
for (const warning of warnings) console.log(`warning: ${warning}`);

const report = await inspectImage(layoutSource(app));
console.log(report.manifests[0].layers.map(({ recipients }) => recipients[0].algorithm));

const destination = { path: join(directory, "decrypted"), tag: "latest" };
const keyOf = ({ privateKey }) => jwe.key(privateKey.export({ format: "jwk" }));
try {
  const keys = [keyOf(bob)];
  await decryptImage(layoutSource(app), await layoutDestination(destination), { keys });
  throw new Error("Bob must not be able to decrypt");
} catch (error) {
  if (!isOcicryptError(error, "NO_MATCHING_KEY")) throw error;
  console.log(`Bob: ${error.message}`);
}
const keys = [keyOf(alice)];
const decrypted = await decryptImage(layoutSource(app), await layoutDestination(destination), {
  keys,
});
console.log(`Alice: ${decrypted.image.digest}`);
rmSync(directory, { recursive: true });
