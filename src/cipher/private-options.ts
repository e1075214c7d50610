import { KEY_SIZE, NONCE_SIZE } from "./aes-ctr-hmac.js";
import { OcicryptError } from "../errors.js";
import { encodeBase64 } from "../spec/base64.js";
import { readBytes, readCipherOptions, readOptions } from "./options-json.js";
import { ANY, MAP, struct } from "../text/json.js";

const SHAPE = /* @__PURE__ */ struct({ symkey: ANY, digest: ANY, cipheroptions: MAP }, true);

/** The secret of a layer: what key wrappers wrap for each recipient. */
export interface PrivateOptions {
  /** The key of both AES-256-CTR and HMAC-SHA256, 32 bytes. */
  symkey: Uint8Array;
  /** The first counter block, 16 bytes. */
  nonce: Uint8Array;
  /**
   * The digest that the layer had when it was encrypted, or empty. Advisory: c/image records that
   * of the blob before its own compression step (c/image copy/encryption.go).
   */
  digest: string;
  /**
   * Ties the layer to images; its content is `src/image/features/binding.ts`'s concern. Go and Rust
   * look up `nonce` in `cipheroptions` and ignore every other entry.
   */
  binding?: Uint8Array | undefined;
}

/** The entry of `cipheroptions` that holds {@link PrivateOptions.binding}. */
export const BINDING = "image-binding";

/**
 * The JSON in Go's order of members, each of them present, which Go, Rust and the size that raw
 * RSA-OAEP allows (193 bytes with a sha256 digest) all need.
 */
export function serializePrivateOptions(options: PrivateOptions): Uint8Array {
  const { binding } = options;
  const json = JSON.stringify({
    symkey: encodeBase64(options.symkey),
    digest: options.digest,
    cipheroptions: {
      nonce: encodeBase64(options.nonce),
      ...(binding && { [BINDING]: encodeBase64(binding) }),
    },
  });
  return Buffer.from(json, "utf8");
}

/**
 * Reads what a key wrapper unwrapped. Anything but a full key and a full nonce is refused: Go
 * panics on a nonce of another length and makes up a random one where there is none.
 *
 * @throws {@link OcicryptError} `PRIVATE_OPTIONS_INVALID`, `SYMKEY_INVALID`, `NONCE_MISSING`,
 *   `NONCE_INVALID`
 */
export function parsePrivateOptions(json: Uint8Array): PrivateOptions {
  const invalid = "PRIVATE_OPTIONS_INVALID";
  const members = readOptions(json, "private options", SHAPE, invalid);
  const symkey = readBytes(members.symkey, "the layer's key", invalid);
  if (symkey?.byteLength !== KEY_SIZE) {
    throw new OcicryptError(
      "SYMKEY_INVALID",
      `the layer's key is not of ${String(KEY_SIZE)} bytes`,
    );
  }
  const cipherOptions = readCipherOptions(members.cipheroptions, "private options", invalid);
  const nonce = readBytes(cipherOptions.get("nonce"), "the layer's nonce", invalid);
  if (nonce === undefined) {
    throw new OcicryptError("NONCE_MISSING", "the private options hold no nonce");
  }
  if (nonce.byteLength !== NONCE_SIZE) {
    throw new OcicryptError(
      "NONCE_INVALID",
      `the nonce has ${String(nonce.byteLength)} bytes instead of ${String(NONCE_SIZE)}`,
    );
  }
  const digest = members.digest ?? "";
  if (typeof digest !== "string") {
    throw new OcicryptError(invalid, "the digest in the private options is not a string");
  }
  const entry = cipherOptions.get(BINDING);
  if (entry === undefined) return { symkey, nonce, digest };
  const binding = readBytes(entry, "the layer's binding", invalid);
  // An entry that is there and says nothing must not pass for one that is absent.
  if (binding === undefined) throw new OcicryptError(invalid, "the layer's binding is empty");
  return { symkey, nonce, digest, binding };
}

/** Overwrites the secret once it is not needed any more. */
export function wipePrivateOptions(options: PrivateOptions): void {
  options.symkey.fill(0);
  options.nonce.fill(0);
}
