// Every subpath in one bundle, so that each lazy import in it is followed.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { encryptLayer, decryptLayer, listRecipients } from "ocicrypt";
import * as files from "ocicrypt/files";
import * as image from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { keysFromFiles } from "ocicrypt/keys";
import * as pgp from "ocicrypt/pgp";
import * as pkcs11 from "ocicrypt/pkcs11";
import * as pkcs7 from "ocicrypt/pkcs7";
import * as provider from "ocicrypt/provider";
import * as places from "ocicrypt/places";
import * as registry from "ocicrypt/registry";
import * as store from "ocicrypt/store";

for (const subpath of [files, image, pgp, pkcs11, pkcs7, places, provider, registry, store]) {
  assert(Object.keys(subpath).length > 0);
}
async function roundTrip() {
  // Long enough for threads, whose file is not in the bundle.
  const plain = Buffer.alloc(65 * 1024 * 1024, "a layer");
  const encryption = encryptLayer(plain, {
    descriptor: {
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      size: plain.byteLength,
    },
    threads: 2,
    recipients: [jwe.recipient(readFileSync("public.pem"))],
  });
  const blob = await buffer(encryption.stream);
  const descriptor = await encryption.finalize();
  assert.equal((await listRecipients(descriptor))[0].algorithm, "RSA-OAEP");
  const keys = await keysFromFiles([{ content: readFileSync("private.pem") }]);
  const decryption = await decryptLayer(blob, { descriptor, keys, threads: 2 });
  assert.deepEqual(await buffer(decryption.stream), plain);

  const directory = mkdtempSync(join(tmpdir(), "ocicrypt-bundle-"));
  try {
    const path = join(directory, "image.tar");
    const destination = await store.archiveDestination({ path, tag: "latest" });
    await destination.discard();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

// CommonJS has no await outside of functions.
roundTrip();
