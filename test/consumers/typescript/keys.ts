// Keys of Node.js and of Web Cryptography, and JWKs, are accepted where key files are.
import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { webcrypto } from "node:crypto";
import type { Key, Recipient } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";
import { pkcs7 } from "ocicrypt/pkcs7";

export function ofNode(publicKey: KeyObject, privateKey: KeyObject): [Recipient, Key[]] {
  return [
    jwe.recipient(publicKey),
    [jwe.key(privateKey, { label: "mine" }), pkcs7.key(privateKey)],
  ];
}

export async function ofWebCrypto(): Promise<[Recipient, Key]> {
  const algorithm = { name: "ECDH", namedCurve: "P-256" };
  const pair = await webcrypto.subtle.generateKey(algorithm, true, ["deriveBits"]);
  const { publicKey, privateKey } = pair as webcrypto.CryptoKeyPair;
  return [jwe.recipient(publicKey), jwe.key(privateKey)];
}

export function ofJwk(jwk: JsonWebKey): [Recipient, Key] {
  const recipient = jwe.recipient({ ...jwk, kid: "build-2", alg: "ECDH-ES+A128KW" });
  return [recipient, jwe.key({ ...jwk })];
}

export function ofFiles(text: string, bytes: Uint8Array): (Recipient | Key)[] {
  createPublicKey(createPrivateKey(text));
  return [jwe.recipient(text), jwe.key(bytes, { password: "" }), pkcs7.recipient(text)];
}

export function ofNothing(): Key {
  // @ts-expect-error a key is needed
  return jwe.key(undefined);
}
