/** Requests that do not fit the image. */
export type RequestErrorCode =
  | "ALREADY_ENCRYPTED"
  | "NOT_ENCRYPTED"
  | "NOTHING_TO_ENCRYPT"
  | "NOTHING_SELECTED"
  | "BASE_NOT_FOUND"
  | "BASE_MISMATCH"
  | "POLICY_VIOLATION"
  | "NO_RECIPIENTS"
  | "LAST_RECIPIENT"
  | "RECIPIENTS_INSEPARABLE"
  | "NOT_FINISHED"
  | "PROFILE_IMPOSSIBLE";

/** A layer's cipher, options and hashes. */
export type LayerErrorCode =
  | "CIPHER_UNSUPPORTED"
  | "SYMKEY_INVALID"
  | "NONCE_MISSING"
  | "NONCE_INVALID"
  | "NONCE_OVERRIDDEN"
  | "HMAC_MISSING"
  | "HMAC_INVALID"
  | "HMAC_MISMATCH"
  | "THREAD_FAILED"
  | "PRIVATE_OPTIONS_INVALID"
  | "PUBLIC_OPTIONS_MISSING"
  | "PUBLIC_OPTIONS_INVALID";

/** The lists of wrapped keys. */
export type WrappedKeyErrorCode =
  | "ANNOTATION_BASE64"
  | "ANNOTATION_EMPTY"
  | "ANNOTATION_TOO_LARGE"
  | "WRAPPED_KEY_INVALID"
  | "WRAPPED_KEY_UNSUPPORTED"
  | "WRAP_FAILED";

/** Keys. */
export type KeyErrorCode =
  | "NO_KEYS"
  | "NO_MATCHING_KEY"
  | "KEY_UNREADABLE"
  | "KEY_UNRECOGNIZED"
  | "KEY_UNSUPPORTED"
  | "KEY_USE_FORBIDDEN"
  | "KEY_IS_PRIVATE"
  | "KEY_IS_PUBLIC"
  | "KEY_MISMATCH"
  | "CERTIFICATE_NOT_YET_VALID"
  | "CERTIFICATE_EXPIRED"
  | "KEY_EXPIRED"
  | "KEY_REVOKED"
  | "RECIPIENT_INVALID"
  | "RECIPIENT_NOT_FOUND"
  | "RECIPIENT_AMBIGUOUS"
  | "GPG_NOT_FOUND"
  | "GPG_FAILED"
  | "PASSWORD_MISSING"
  | "PASSWORD_WRONG";

/** Key providers and optional packages. */
export type ProviderErrorCode =
  | "PROVIDER_CONFIG_INVALID"
  | "PROVIDER_NOT_CONFIGURED"
  | "PROVIDER_NOT_FOUND"
  | "PROVIDER_FAILED"
  | "PROVIDER_TIMEOUT"
  | "PROVIDER_INVALID_REQUEST"
  | "PROVIDER_INVALID_RESPONSE"
  | "PACKAGE_MISSING";

/** Key servers. */
export type KeyServerErrorCode =
  | "KEY_SERVER_CONFIG_INVALID"
  | "KEY_SERVER_UNREACHABLE"
  | "KEY_SERVER_UNAUTHORIZED"
  | "KEY_SERVER_KEY_NOT_FOUND"
  | "KEY_SERVER_KEY_DISABLED"
  | "KEY_SERVER_ANSWER_INVALID"
  | "KEY_SERVER_NOT_ALLOWED"
  | "KEY_SERVER_UNTRUSTED"
  | "KEY_SERVER_THRESHOLD";

/** PKCS#11 tokens. */
export type TokenErrorCode =
  | "PKCS11_CONFIG_MISSING"
  | "PKCS11_CONFIG_INVALID"
  | "MODULE_NOT_FOUND"
  | "MODULE_NOT_ALLOWED"
  | "TOKEN_NOT_FOUND"
  | "TOKEN_FAILED"
  | "PIN_MISSING"
  | "PIN_WRONG"
  | "OBJECT_NOT_FOUND"
  | "OBJECT_AMBIGUOUS";

/** Content that does not match its descriptor. */
export type ContentErrorCode =
  | "DESCRIPTOR_INVALID"
  | "BLOB_SIZE_MISMATCH"
  | "BLOB_DIGEST_MISMATCH"
  | "DIFF_ID_MISMATCH"
  | "SIGNATURE_MISSING"
  | "SIGNATURE_INVALID"
  | "DIFF_ID_UNCHECKED"
  | "BINDING_MISMATCH";

/** Registries. */
export type RegistryErrorCode =
  | "REGISTRY_UNREACHABLE"
  | "REGISTRY_DENIED"
  | "REGISTRY_FAILED"
  | "REGISTRY_INVALID_RESPONSE"
  | "REGISTRY_UPLOAD_LOST"
  | "CREDENTIALS_INVALID";

/** Images and their places. */
export type PlaceErrorCode =
  | "REFERENCE_INVALID"
  | "IMAGE_NOT_FOUND"
  | "BLOB_NOT_FOUND"
  | "LAYOUT_INVALID"
  | "MANIFEST_INVALID"
  | "MANIFEST_TOO_LARGE"
  | "MANIFEST_UNSUPPORTED"
  | "SOURCE_UNREADABLE"
  | "DESTINATION_EXISTS"
  | "DESTINATION_CHANGED"
  | "DESTINATION_FULL"
  | "DESTINATION_UNWRITABLE";

/** The files of an image. */
export type FileErrorCode =
  | "FILE_NOT_FOUND"
  | "FILE_UNREADABLE"
  | "PLATFORM_AMBIGUOUS"
  | "LAYER_UNREADABLE"
  | "COMPRESSION_UNSUPPORTED";

/** Container runtimes. */
export type RuntimeErrorCode =
  "PAYLOAD_MISSING" | "PAYLOAD_INVALID" | "KEY_SYNC_CONFLICT" | "RUNTIME_CONFIG_INVALID";

/** All error codes of this library. `docs/errors.md` describes each code and says what to do. */
export type ErrorCode =
  | RequestErrorCode
  | LayerErrorCode
  | WrappedKeyErrorCode
  | KeyErrorCode
  | ProviderErrorCode
  | KeyServerErrorCode
  | TokenErrorCode
  | ContentErrorCode
  | RegistryErrorCode
  | PlaceErrorCode
  | FileErrorCode
  | RuntimeErrorCode;

/** The longest message, in characters; an image can hold names of megabytes. */
const MAX_MESSAGE = 4000;

/**
 * The only error class of this library. Switch on `code`; the message is for people and may change.
 * Mistakes in how a function is called are `TypeError` or `RangeError` instead, and an aborted
 * operation rejects with the reason of its `AbortSignal`.
 *
 * No message contains key material, a password or plaintext.
 */
export class OcicryptError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message.slice(0, MAX_MESSAGE), options);
    this.code = code;
  }
}

Object.defineProperty(OcicryptError.prototype, "name", {
  value: "OcicryptError",
  configurable: true,
  writable: true,
});

/** Quotes an untrusted text of any length for a message. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 99)}…` : text);
}

/** Returns the code of an error of Node.js, such as `ENOENT`. */
export function errno(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

/** Returns the message about a file that cannot be read. */
export function cannotRead(what: string, error: unknown): string {
  return `${what} cannot be read (${errno(error) ?? "unknown reason"})`;
}

/** @returns {@link OcicryptError} `KEY_UNRECOGNIZED` */
export function unrecognizedKey(why: string, cause?: unknown): OcicryptError {
  const message = `this is not a key that can be used here: ${why}`;
  return new OcicryptError("KEY_UNRECOGNIZED", message, cause === undefined ? {} : { cause });
}

/**
 * Whether `error` is an {@link OcicryptError}; if `code` is given, also whether it has that code.
 */
export function isOcicryptError(error: unknown, code?: ErrorCode): error is OcicryptError {
  return error instanceof OcicryptError && (code === undefined || error.code === code);
}
