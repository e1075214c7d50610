import { createCipheriv, createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

const VECTORS = new URL("../../vectors/", import.meta.url);

/** A file below `vectors/`, byte for byte. */
export function vectorFile(path: string): Buffer {
  return readFileSync(new URL(path, VECTORS));
}

/** The names of the files in a folder below `vectors/`, sorted. */
export function vectorFolder(path: string): string[] {
  return readdirSync(new URL(`${path}/`, VECTORS), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();
}

interface Pattern {
  base64?: string;
  repeat?: string;
  size?: number;
}

/** A layer made by the Go implementation; vectors/README.md says what the members are. */
export interface JweVector {
  name: string;
  plaintext: Pattern;
  ciphertext: { base64?: string; sha256: string; size: number };
  descriptor: { mediaType: string; digest: string; size: number };
  privateOptions: string;
  publicOptions: string;
  annotations: Record<string, string>;
  opensWith: string[];
}

export interface CipherVector {
  name: string;
  key: string;
  nonce: string;
  hmac: string;
  plaintext: string | Pattern;
  ciphertext?: string;
  sha256: string;
  size: number;
}

export const jweVectors: JweVector[] = vectorFolder("jwe").map(
  (name) => JSON.parse(vectorFile(`jwe/${name}`).toString()) as JweVector,
);

export function jweVector(name: string): JweVector {
  const found = jweVectors.find((vector) => vector.name === name);
  if (found === undefined) throw new Error(`there is no vector ${name}`);
  return found;
}

export const cipherVectors: CipherVector[] = (
  JSON.parse(vectorFile("cipher.json").toString()) as { vectors: CipherVector[] }
).vectors;

export function expand(pattern: string | Pattern): Buffer {
  if (typeof pattern === "string") return Buffer.from(pattern, "base64");
  if (pattern.base64 !== undefined) return Buffer.from(pattern.base64, "base64");
  return Buffer.alloc(pattern.size!, Buffer.from(pattern.repeat!, "base64"));
}

/** The ciphertext of a vector: made with OpenSSL's cipher and checked against Go's digest of it. */
export function vectorCiphertext(vector: JweVector): Buffer {
  const { symkey, cipheroptions } = JSON.parse(
    Buffer.from(vector.privateOptions, "base64").toString(),
  ) as { symkey: string; cipheroptions: { nonce: string } };
  const key = Buffer.from(symkey, "base64");
  const nonce = Buffer.from(cipheroptions.nonce, "base64");
  const ciphertext = createCipheriv("aes-256-ctr", key, nonce).update(expand(vector.plaintext));
  if (sha256(ciphertext) !== vector.ciphertext.sha256) throw new Error("not what Go wrote");
  return ciphertext;
}

/** The descriptor of the encrypted layer of a vector. */
export function encryptedDescriptor(vector: JweVector): {
  mediaType: string;
  digest: string;
  size: number;
  annotations: Record<string, string>;
} {
  return {
    mediaType: `${vector.descriptor.mediaType}+encrypted`,
    digest: vector.ciphertext.sha256,
    size: vector.ciphertext.size,
    annotations: vector.annotations,
  };
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
