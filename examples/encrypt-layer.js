// Encrypts one layer as a stream and decrypts it, as a registry tool does with each blob.
import { createHash, generateKeyPairSync } from "node:crypto";
import { createReadStream, createWriteStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { decryptLayer, encryptLayer } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";

const directory = mkdtempSync(join(tmpdir(), "ocicrypt-example-"));
const layer = Buffer.alloc(3_000_000, "what must stay secret ");
writeFileSync(join(directory, "layer"), layer);
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

const descriptor = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: `sha256:${createHash("sha256").update(layer).digest("hex")}`,
  size: layer.byteLength,
};
const { stream, finalize } = encryptLayer(createReadStream(join(directory, "layer")), {
  descriptor,
  recipients: [jwe.recipient(publicKey.export({ type: "spki", format: "pem" }))],
});
await pipeline(stream, createWriteStream(join(directory, "encrypted")));
// Known only now. In the manifest, it replaces the plain layer's descriptor.
const encrypted = await finalize();
console.log(encrypted.mediaType, encrypted.digest);

const decrypted = await decryptLayer(createReadStream(join(directory, "encrypted")), {
  descriptor: encrypted,
  keys: [jwe.key(privateKey.export({ type: "pkcs8", format: "pem" }))],
});
// If this throws, discard everything that was written.
await pipeline(decrypted.stream, createWriteStream(join(directory, "decrypted")));
const plain = await decrypted.finalize();
console.log(plain.mediaType, plain.digest);
if (plain.digest !== descriptor.digest) throw new Error("the layer differs from the original");
rmSync(directory, { recursive: true });
