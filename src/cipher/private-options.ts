import { KEY_SIZE, NONCE_SIZE } from "./aes-ctr-hmac.js";
import { OcicryptError } from "../errors.js";
import { encodeBase64 } from "../spec/base64.js";
import { readBytes, readCipherOptions, readOptions } from "./options-json.js";
import { ANY, MAP, struct } from "../text/json.js";

const SHAPE = /* @__PURE__ */ struct({ symkey: ANY, digest: ANY, cipheroptions: MAP }, true);

/** The secret of a layer, which is wrapped for each recipient. */
export interface PrivateOptions {
  /** The key of both AES-256-CTR and HMAC-SHA256, 32 bytes. */
  symkey: Uint8Array;
  /** The first counter block, 16 bytes. */
  nonce: Uint8Array;
  /**
   * The digest of the layer before encryption, or empty. Do not rely on it: containers/image
   * records the digest from before its own compression step (c/image copy/encryption.go).
   */
  digest: string;
  /**
   * Binds the layer to images; `src/image/features/binding.ts` defines its content. Go and Rust
   * look up only `nonce` in `cipheroptions` and ignore every other entry.
   */
  binding?: Uint8Array | undefined;
}

/** The entry of `cipheroptions` with {@link PrivateOptions.binding}. */
export const BINDING = "image-binding";

/**
 * Returns the JSON with all members in Go's order. Go, Rust and the size limit of RSA-OAEP require
 * this form, which has 193 bytes with a sha256 digest.
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
 * Parses the unwrapped bytes. A key or nonce that is missing or has the wrong length is rejected:
 * Go panics if the nonce has another length, and makes up a random nonce if it is missing.
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
      `the layer's key is not ${String(KEY_SIZE)} bytes long`,
    );
  }
  const cipherOptions = readCipherOptions(members.cipheroptions, "private options", invalid);
  const nonce = readBytes(cipherOptions.get("nonce"), "the layer's nonce", invalid);
  if (nonce === undefined) {
    throw new OcicryptError("NONCE_MISSING", "the private options contain no nonce");
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
  // An empty entry must not count as a missing one.
  if (binding === undefined) throw new OcicryptError(invalid, "the layer's binding is empty");
  return { symkey, nonce, digest, binding };
}

/** Overwrites the secret when it is no longer needed. */
export function wipePrivateOptions(options: PrivateOptions): void {
  options.symkey.fill(0);
  options.nonce.fill(0);
}
