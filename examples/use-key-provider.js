// Keeps the keys in another program: key-provider.js, started as skopeo or CRI-O would start it.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decryptLayer, encryptLayer, listRecipients } from "ocicrypt";
import { provider } from "ocicrypt/provider";

const directory = mkdtempSync(join(tmpdir(), "ocicrypt-example-"));
process.env.KEY_FILE = join(directory, "key");
writeFileSync(process.env.KEY_FILE, randomBytes(32), { mode: 0o600 });

// The content of a file for OCICRYPT_KEYPROVIDER_CONFIG.
const script = fileURLToPath(new URL("key-provider.js", import.meta.url));
const config = {
  "key-providers": { local: { cmd: { path: process.execPath, args: [script] } } },
};

const layer = Buffer.from("only the provider's key opens this");
const { stream, finalize } = encryptLayer(layer, {
  descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar" },
  recipients: [provider.recipient("local", { config })],
});
const encrypted = Buffer.from(await new Response(stream).arrayBuffer());
const descriptor = await finalize();
console.log(await listRecipients(descriptor));

const decrypted = await decryptLayer(encrypted, {
  descriptor,
  keys: [provider.key("local", { config })],
});
const plain = Buffer.from(await new Response(decrypted.stream).arrayBuffer());
console.log(plain.toString());
if (!plain.equals(layer)) throw new Error("the layer differs from the original");
rmSync(directory, { recursive: true });
