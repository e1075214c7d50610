// TypeScript 5.8 and later know that CommonJS can require ES modules.
import { encryptLayer, type EncryptedLayer } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";

export function encrypt(layer: Uint8Array, publicKey: string): EncryptedLayer {
  const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar" };
  return encryptLayer(layer, { descriptor, recipients: [jwe.recipient(publicKey)] });
}
