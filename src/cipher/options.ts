import { fromUtf8 } from "#engine/bytes";
import { type ErrorCode, OcicryptError, shown } from "../errors.js";
import { decodeBase64, encodeBase64 } from "../spec/base64.js";
import { ANY, asObject, MAP, parseJson, requireObject, struct } from "../text/json.js";
import type { JsonObject, Shape } from "../text/json.js";
import { type DescriptorLike, PUBLIC_OPTIONS } from "../spec/descriptor.js";
import { MAX_ANNOTATION_LENGTH } from "../spec/limits.js";
import { HMAC_SIZE, KEY_SIZE, NONCE_SIZE } from "./aes-ctr-hmac.js";

/** The only cipher, as the public options name it. */
export const CIPHER = "AES_256_CTR_HMAC_SHA256";

const PRIVATE_SHAPE = /* @__PURE__ */ struct(
  { symkey: ANY, digest: ANY, cipheroptions: MAP },
  true,
);

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
const BINDING = "image-binding";

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
  return fromUtf8(json);
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
  const members = readOptions(json, "private options", PRIVATE_SHAPE, invalid);
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

const PUBLIC_SHAPE = /* @__PURE__ */ struct({ cipher: ANY, hmac: ANY, cipheroptions: MAP }, true);

/** The public part of a layer's encryption. */
interface PublicOptions {
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
  return encodeBase64(fromUtf8(json));
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
  const members = readOptions(json, "public options", PUBLIC_SHAPE, invalid);
  const cipher = members.cipher;
  if (cipher !== CIPHER) {
    const named = typeof cipher === "string" ? shown(cipher) : "none";
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

/**
 * Reads the JSON object of public or private options. Its names may be in any case, because Go
 * reads names in any case, and writers have relied on this.
 */
function readOptions(json: Uint8Array, what: string, shape: Shape, code: ErrorCode): JsonObject {
  // The reason is not part of the message, because it quotes the text, which can be a secret.
  const refuse = (): OcicryptError =>
    new OcicryptError(code, `the ${what} are not valid JSON, or readers could disagree about them`);
  const value = parseJson(json, { shape, maxSize: MAX_ANNOTATION_LENGTH, refuse });
  return requireObject(value, () => new OcicryptError(code, `the ${what} are not a JSON object`));
}

/**
 * Reads bytes as Go writes them: base64, or `null` if absent. Returns `undefined` if they are
 * absent.
 */
function readBytes(value: unknown, what: string, code: ErrorCode): Uint8Array | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const bytes = typeof value === "string" ? decodeBase64(value) : null;
  if (bytes === null) throw new OcicryptError(code, `${what} is not base64`);
  return bytes;
}

/** Reads the `cipheroptions` object, which Go writes as `null` if it is empty. */
function readCipherOptions(
  value: unknown,
  what: string,
  code: ErrorCode,
): ReadonlyMap<string, unknown> {
  const object = asObject(value ?? {});
  if (object === undefined) {
    throw new OcicryptError(code, `the cipheroptions of the ${what} are not a JSON object`);
  }
  return new Map(Object.entries(object));
}
