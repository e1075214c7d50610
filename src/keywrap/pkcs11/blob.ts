import { OcicryptError, shown } from "../../errors.js";
import { decodeBase64, encodeBase64 } from "../../spec/base64.js";
import { MAX_WRAPPED_KEY_SIZE, MAX_WRAPPED_KEYS } from "../../spec/limits.js";
import { ANY, parseJson, requireObject, struct, type JsonObject } from "../../text/json.js";
import type { RecipientInfo } from "../types.js";
import { oaepAlgorithm, type OaepHash } from "./oaep.js";

/** The layer's private options, encrypted with RSA-OAEP for one recipient. */
export interface Pkcs11Recipient {
  hash: OaepHash;
  ciphertext: Uint8Array;
}

/** `Pkcs11Blob` and `Pkcs11Recipient` of Go's crypto/pkcs11/pkcs11helpers.go. */
const SHAPE = /* @__PURE__ */ struct({
  version: ANY,
  recipients: struct({ version: ANY, blob: ANY, hash: ANY }),
});

const READING = { shape: SHAPE, maxSize: MAX_WRAPPED_KEY_SIZE, refuse: invalid };

/** RSA-16384, the largest key that OpenSSL accepts. */
const MAX_CIPHERTEXT_SIZE = 2048;

/** Writes `Pkcs11Blob` of Go's crypto/pkcs11/pkcs11helpers.go for one recipient. */
export function serializeBlob({ hash, ciphertext }: Pkcs11Recipient): Uint8Array {
  const recipients = [{ version: 0, blob: encodeBase64(ciphertext), hash }];
  return Buffer.from(JSON.stringify({ version: 0, recipients }), "utf8");
}

/**
 * Parses a `Pkcs11Blob`. Go writes all recipients into one blob.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`; `WRAPPED_KEY_UNSUPPORTED` for another
 *   version or hash
 */
export function parseBlob(bytes: Uint8Array): Pkcs11Recipient[] {
  const { version, recipients } = objectOf(parseJson(bytes, READING));
  requireVersion(version);
  if (!Array.isArray(recipients) || recipients.length === 0) throw invalid("no recipients");
  if (recipients.length > MAX_WRAPPED_KEYS) throw invalid("too many recipients");
  return recipients.map((recipient) => readRecipient(objectOf(recipient)));
}

function readRecipient({ version, blob, hash }: JsonObject): Pkcs11Recipient {
  requireVersion(version);
  const ciphertext = typeof blob === "string" ? decodeBase64(blob) : null;
  if (ciphertext === null) throw invalid("a blob is not base64");
  if (ciphertext.byteLength === 0 || ciphertext.byteLength > MAX_CIPHERTEXT_SIZE) {
    throw invalid("the size of a blob fits no RSA key");
  }
  return { hash: readHash(hash), ciphertext };
}

/** Writers that predate the member used SHA-1. */
function readHash(hash: unknown): OaepHash {
  if (hash === undefined || hash === "") return "sha1";
  if (hash === "sha1" || hash === "sha256") return hash;
  if (typeof hash !== "string") throw invalid("a hash is not a string");
  throw unsupported(`the hash ${shown(hash)}`);
}

function requireVersion(version: unknown): void {
  if (version === 0) return;
  if (typeof version !== "number") throw invalid("no version");
  throw unsupported(`version ${String(version)}`);
}

function objectOf(value: unknown): JsonObject {
  return requireObject(value, () => invalid("a part of it is not an object"));
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("WRAPPED_KEY_INVALID", `the wrapped key is not a PKCS#11 blob: ${why}`);
}

function unsupported(what: string): OcicryptError {
  return new OcicryptError(
    "WRAPPED_KEY_UNSUPPORTED",
    `the wrapped PKCS#11 key has ${what}, which is not supported`,
  );
}

/** Describes the recipients of a wrapped key by algorithm; the format does not name their keys. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseBlob(wrapped).map(({ hash }) => ({ algorithm: oaepAlgorithm(hash) }));
}
