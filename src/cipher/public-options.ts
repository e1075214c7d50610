import { CIPHER, HMAC_SIZE } from "./aes-ctr-hmac.js";
import { OcicryptError } from "../errors.js";
import { PUBLIC_OPTIONS } from "../spec/annotations.js";
import { decodeBase64, encodeBase64 } from "../spec/base64.js";
import type { DescriptorLike } from "../spec/descriptor.js";
import { MAX_ANNOTATION_LENGTH } from "../spec/limits.js";
import { readBytes, readCipherOptions, readOptions } from "./options-json.js";
import { ANY, MAP, struct } from "../text/json.js";

const SHAPE = /* @__PURE__ */ struct({ cipher: ANY, hmac: ANY, cipheroptions: MAP }, true);

/** The public part of a layer's encryption. */
export interface PublicOptions {
  cipher: typeof CIPHER;
  /** HMAC-SHA256 of the ciphertext, 32 bytes. */
  hmac: Uint8Array;
}

/**
 * Returns the value of the annotation, with the members in Go's order. Rust requires `{}` where Go
 * also reads `null`.
 */
export function serializePublicOptions(options: PublicOptions): string {
  const json = JSON.stringify({
    cipher: options.cipher,
    hmac: encodeBase64(options.hmac),
    cipheroptions: {},
  });
  return encodeBase64(Buffer.from(json, "utf8"));
}

/**
 * Reads the public options of a descriptor.
 *
 * @throws {@link OcicryptError} `PUBLIC_OPTIONS_MISSING`, `PUBLIC_OPTIONS_INVALID`,
 *   `ANNOTATION_TOO_LARGE`, `ANNOTATION_BASE64`, `CIPHER_UNSUPPORTED`, `NONCE_OVERRIDDEN`,
 *   `HMAC_MISSING`, `HMAC_INVALID`
 */
export function parsePublicOptions(descriptor: DescriptorLike): PublicOptions {
  const invalid = "PUBLIC_OPTIONS_INVALID";
  const annotation = descriptor.annotations?.[PUBLIC_OPTIONS];
  if (typeof annotation !== "string") {
    throw new OcicryptError(
      "PUBLIC_OPTIONS_MISSING",
      `the annotation ${PUBLIC_OPTIONS} is missing`,
    );
  }
  if (annotation.length > MAX_ANNOTATION_LENGTH) {
    throw new OcicryptError(
      "ANNOTATION_TOO_LARGE",
      `the annotation ${PUBLIC_OPTIONS} is too large`,
    );
  }
  const json = decodeBase64(annotation);
  if (json === null) {
    throw new OcicryptError("ANNOTATION_BASE64", `the annotation ${PUBLIC_OPTIONS} is not base64`);
  }
  const members = readOptions(json, "public options", SHAPE, invalid);
  const cipher = members.cipher;
  if (cipher !== CIPHER) {
    const named = typeof cipher === "string" ? JSON.stringify(cipher.slice(0, 80)) : "none";
    throw new OcicryptError("CIPHER_UNSUPPORTED", `the layer's cipher is ${named}, not ${CIPHER}`);
  }
  const cipherOptions = readCipherOptions(members.cipheroptions, "public options", invalid);
  if (cipherOptions.has("nonce")) {
    // Go and Rust prefer this nonce over the private nonce, so anyone who can edit the manifest
    // could turn the layer into garbage although its HMAC is valid.
    throw new OcicryptError("NONCE_OVERRIDDEN", "the public options contain a nonce");
  }
  const hmac = readBytes(members.hmac, "the HMAC in the public options", invalid);
  if (hmac === undefined)
    throw new OcicryptError("HMAC_MISSING", "the public options contain no HMAC");
  if (hmac.byteLength !== HMAC_SIZE) {
    throw new OcicryptError(
      "HMAC_INVALID",
      `the HMAC has ${String(hmac.byteLength)} bytes instead of ${String(HMAC_SIZE)}`,
    );
  }
  return { cipher: CIPHER, hmac };
}
