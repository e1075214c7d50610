import { compactDecrypt, flattenedDecrypt, type FlattenedJWE } from "jose";
import { OcicryptError, shown } from "../errors.js";
import { abortable } from "../io/abort.js";
import { MAX_KEY_FILE_SIZE, MAX_PBKDF2_ITERATIONS } from "../spec/limits.js";
import { parseJson, requireObject, type JsonObject } from "../text/json.js";
import { unrecognized } from "./asymmetric-key.js";

/** RFC 7518 section 4.8. */
const ALGORITHMS = ["PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW"];

/**
 * Decrypts a JWK that is encrypted with a password: RFC 7517 section 7, as the step command writes
 * it.
 *
 * @param text a JWE in its compact or flattened serialization
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`; `KEY_UNSUPPORTED` for another encryption or too
 *   many iterations; `PASSWORD_WRONG`
 */
export async function decryptJwk(
  text: string,
  password: Uint8Array,
  signal?: AbortSignal,
): Promise<JsonObject> {
  const jwe = text.startsWith("{") ? (JSON.parse(text) as FlattenedJWE) : text;
  requirePbes2(typeof jwe === "string" ? jwe.split(".", 1)[0] : jwe.protected);
  const options = {
    keyManagementAlgorithms: ALGORITHMS,
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
    // A wrong password and a damaged message cannot be distinguished.
    throw new OcicryptError("PASSWORD_WRONG", "the password does not open the encrypted JWK");
  }
  try {
    return parseObject(Buffer.from(plaintext).toString("utf8"), "the JWE does not hold a JWK");
  } finally {
    plaintext.fill(0);
  }
}

/** @param why the reason for the error, because the parser's own message could quote the key */
function parseObject(text: string, why: string): JsonObject {
  const refuse = (): OcicryptError => unrecognized(why);
  return requireObject(parseJson(text, { maxSize: MAX_KEY_FILE_SIZE, refuse }), refuse);
}

function requirePbes2(protectedHeader: unknown): void {
  const text = typeof protectedHeader === "string" ? protectedHeader : "";
  const { alg, p2c } = parseObject(
    Buffer.from(text, "base64url").toString("utf8"),
    "it is a JWE whose protected header is damaged",
  );
  if (typeof alg !== "string" || !ALGORITHMS.includes(alg)) {
    const named = typeof alg === "string" ? shown(alg) : "missing";
    const message = `it is a JWE whose "alg" is ${named}; an encrypted JWK has ${ALGORITHMS.join(", ")}`;
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  if (typeof p2c !== "number" || p2c <= MAX_PBKDF2_ITERATIONS) return;
  const message = `the encrypted JWK derives its key with more than ${String(MAX_PBKDF2_ITERATIONS)} iterations`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}
