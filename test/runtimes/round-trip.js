// Encrypts a layer for recipients of three schemes, and decrypts it with the key of each. It is bundled
// with the keys in it, and runs as a worker's test.
import { decryptLayerBytes, encryptLayerBytes } from "../../dist/index.js";
import { jwe } from "../../dist/keywrap/jwe/index.js";
import { pgp } from "../../dist/keywrap/pgp/index.js";
import { pkcs7 } from "../../dist/keywrap/pkcs7/index.js";
import certificate from "../../vectors/peers/keys/cert-rsa2048.pem";
import ecPrivate from "../../vectors/peers/keys/ec256.pkcs8.pem";
import ecPublic from "../../vectors/peers/keys/ec256.pub.pem";
import secretRing from "../../vectors/peers/keys/pgp/rsa2048.sec.asc";
import publicRing from "../../vectors/peers/keys/pgp/rsa2048.pub.asc";
import rsaPrivate from "../../vectors/peers/keys/rsa2048.pkcs8.pem";

const KEY_NAME = "rsa2048@example.org";

async function roundTrip() {
  const mediaType = "application/vnd.oci.image.layer.v1.tar";
  const plain = new TextEncoder().encode("a layer\n".repeat(1000));
  const { bytes, descriptor } = await encryptLayerBytes(plain, {
    descriptor: { mediaType },
    recipients: [
      jwe.recipient(ecPublic),
      pkcs7.recipient(certificate),
      pgp.recipient(KEY_NAME, { keyRing: new TextEncoder().encode(publicRing) }),
    ],
  });
  const keys = [
    jwe.key(ecPrivate),
    pkcs7.key(rsaPrivate, { certificate }),
    pgp.key(new TextEncoder().encode(secretRing)),
  ];
  for (const key of keys) {
    const decrypted = await decryptLayerBytes(bytes, { descriptor, keys: [key] });
    const isEqual = decrypted.bytes.every((byte, i) => byte === plain[i]);
    if (decrypted.bytes.byteLength !== plain.byteLength || !isEqual) throw new Error(key.scheme);
    console.log(`${key.scheme} opens the layer`);
  }
}

export default { test: roundTrip };
