import { fromBase64, toUtf8 } from "#engine/bytes";
import type { FlattenedJWE } from "jose";
import { compactDecrypt } from "jose/jwe/compact/decrypt";
import { flattenedDecrypt } from "jose/jwe/flattened/decrypt";
import { OcicryptError, shown } from "../errors.js";
import { abortable } from "../io/abort.js";
import { MAX_KEY_FILE_SIZE, MAX_PBKDF2_ITERATIONS } from "../spec/limits.js";
import { parseJson, requireObject, type JsonObject } from "../text/json.js";
import { unrecognized } from "./asymmetric-key.js";

/** RFC 7518 section 4.8: the sizes of the wrapping keys, in bytes. */
const KEY_SIZES: ReadonlyMap<string, number> = /* @__PURE__ */ new Map([
  ["PBES2-HS256+A128KW", 16],
  ["PBES2-HS384+A192KW", 24],
  ["PBES2-HS512+A256KW", 32],
]);

/**
 * Decrypts a JWK that is encrypted with a password: RFC 7517 section 7, as the step command writes
 * it.
 *
 * @param text a JWE in its compact or flattened serialization
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`; `KEY_UNSUPPORTED` for another encryption or too
 *   many iterations, or a cipher that is missing here; `PASSWORD_WRONG`
 */
export async function decryptJwk(
  text: string,
  password: Uint8Array,
  signal?: AbortSignal,
): Promise<JsonObject> {
  const jwe = text.startsWith("{") ? (JSON.parse(text) as FlattenedJWE) : text;
  const keySize = requirePbes2(typeof jwe === "string" ? jwe.split(".", 1)[0] : jwe.protected);
  const options = {
    keyManagementAlgorithms: [...KEY_SIZES.keys()],
    maxPBES2Count: MAX_PBKDF2_ITERATIONS,
  };
  let plaintext: Uint8Array;
  try {
    const decrypted =
      typeof jwe === "string"
        ? compactDecrypt(jwe, password, options)
        : flattenedDecrypt(jwe, password, options);
    ({ plaintext } = await abortable<{ plaintext: Uint8Array }>(decrypted, signal));
  } catch {
    signal?.throwIfAborted();
    await requireKeyWrap(keySize);
    // A wrong password and a damaged message cannot be distinguished.
    throw new OcicryptError("PASSWORD_WRONG", "the password does not open the encrypted JWK");
  }
  try {
    return parseObject(toUtf8(plaintext), "the JWE does not hold a JWK");
  } finally {
    plaintext.fill(0);
  }
}

/**
 * Tells a wrong password from a size of AES that Web Cryptography, which jose uses, lacks here, such as
 * 192 bits in Chromium.
 */
async function requireKeyWrap(keySize: number): Promise<void> {
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(keySize), "AES-KW", false, ["unwrapKey"]);
  } catch (cause) {
    const cipher = `AES-${String(8 * keySize)}`;
    const message = `the encrypted JWK needs ${cipher}, which this runtime does not offer`;
    throw new OcicryptError("KEY_UNSUPPORTED", message, { cause });
  }
}

/** @param why the reason for the error, because the parser's own message could quote the key */
function parseObject(text: string, why: string): JsonObject {
  const refuse = (): OcicryptError => unrecognized(why);
  return requireObject(parseJson(text, { maxSize: MAX_KEY_FILE_SIZE, refuse }), refuse);
}

function requirePbes2(protectedHeader: unknown): number {
  const text = typeof protectedHeader === "string" ? protectedHeader : "";
  const { alg, p2c } = parseObject(
    toUtf8(fromBase64(text)),
    "it is a JWE whose protected header is damaged",
  );
  const keySize = KEY_SIZES.get(typeof alg === "string" ? alg : "");
  if (keySize === undefined) {
    const named = typeof alg === "string" ? shown(alg) : "missing";
    const message = `it is a JWE whose "alg" is ${named}; an encrypted JWK has ${[...KEY_SIZES.keys()].join(", ")}`;
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  if (typeof p2c !== "number" || p2c <= MAX_PBKDF2_ITERATIONS) return keySize;
  const message = `the encrypted JWK derives its key with more than ${String(MAX_PBKDF2_ITERATIONS)} iterations`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}
