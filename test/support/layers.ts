import { createCipheriv, createHmac } from "node:crypto";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { sha256 } from "./vectors.js";

export const TAR = "application/vnd.oci.image.layer.v1.tar";
export const ENC = "org.opencontainers.image.enc.";
export const SYMKEY: Buffer = Buffer.alloc(32, "key of the layer");
export const NONCE: Buffer = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");

export interface CraftedDescriptor {
  mediaType: string;
  digest?: string;
  size?: number;
  annotations: Record<string, string>;
}

export interface CraftedLayer {
  plaintext: Buffer;
  ciphertext: Buffer;
  descriptor: CraftedDescriptor;
}

export interface Craft {
  /** The private options in place of the right ones; text as it is, other values as JSON. */
  privateOptions?: unknown;
  publicOptions?: unknown;
  /** In place of the list of wrapped keys. */
  list?: string;
  /** Gives the descriptor the digest and size of the ciphertext. */
  checked?: boolean;
}

export const base64 = (data: Uint8Array | string): string => Buffer.from(data).toString("base64");

export const rightPrivateOptions = {
  symkey: base64(SYMKEY),
  digest: "",
  cipheroptions: { nonce: base64(NONCE) },
};

export function rightPublicOptions(ciphertext: Uint8Array): {
  cipher: string;
  hmac: string;
  cipheroptions: Record<string, string>;
} {
  return {
    cipher: "AES_256_CTR_HMAC_SHA256",
    hmac: createHmac("sha256", SYMKEY).update(ciphertext).digest("base64"),
    cipheroptions: {},
  };
}

/**
 * An encrypted layer made by hand, with nothing of the library. Its scheme `test` wraps the private
 * options by not wrapping them: {@link openKey} returns the content of the annotation.
 */
export function craftLayer(plaintext: Buffer, craft: Craft = {}): CraftedLayer {
  const ciphertext = createCipheriv("aes-256-ctr", SYMKEY, NONCE).update(plaintext);
  const privateOptions = craft.privateOptions ?? rightPrivateOptions;
  const publicOptions = craft.publicOptions ?? rightPublicOptions(ciphertext);
  const annotations = {
    [`${ENC}keys.test`]: craft.list ?? base64(asText(privateOptions)),
    [`${ENC}pubopts`]: base64(asText(publicOptions)),
  };
  const content = craft.checked === true && { digest: sha256(ciphertext), size: plaintext.length };
  return {
    plaintext,
    ciphertext,
    descriptor: { mediaType: `${TAR}+encrypted`, ...content, annotations },
  };
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Unwraps what {@link craftLayer} and {@link plainRecipient} made. */
export function openKey(scheme = "test"): Key {
  return { scheme, unwrap: (wrapped) => Promise.resolve(Uint8Array.from(wrapped)) };
}

/** A key for which no wrapped key is. */
export function foreignKey(scheme = "test"): Key {
  return { scheme, unwrap: () => Promise.resolve(null) };
}

export function plainRecipient(scheme = "test"): Recipient {
  return { scheme, wrap: (privateOptions) => Promise.resolve(Uint8Array.from(privateOptions)) };
}
