import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { decryptLayer, encryptLayer } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";

const plain = Buffer.from("a layer");
const encryption = encryptLayer(plain, {
  descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar" },
  recipients: [jwe.recipient(await readFile("public.pem"))],
});
const blob = await buffer(encryption.stream);

const decryption = await decryptLayer(blob, {
  descriptor: await encryption.finalize(),
  keys: [jwe.key(await readFile("private.pem"))],
});
assert.deepEqual(await buffer(decryption.stream), plain);
