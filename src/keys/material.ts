import type { KeyObject } from "node:crypto";
import { OcicryptError } from "../errors.js";
import { parseJson, requireObject } from "../text/json.js";
import { derKind, type DerKind } from "./der.js";
import { pemBlocks, type PemBlock } from "./pem.js";

/** An RSA, EC or other key pair's half, with what its JWK said of it. */
export interface AsymmetricKey {
  key: KeyObject;
  kid?: string;
  alg?: string;
  /** Stood in a JWK Set, which can hold keys for other uses: RFC 7517, section 5. */
  isOfSet?: boolean;
}

/** A key as its owner has it: PEM text, the bytes of a PEM, DER or JWK file, or a parsed JWK. */
export type KeyInput = string | Uint8Array | Readonly<Record<string, unknown>>;

/** The parts of a key file, by the form that its content shows. */
export type KeyMaterial =
  | { form: "pem"; blocks: PemBlock[] }
  | { form: "der"; kind: DerKind; bytes: Uint8Array }
  | { form: "jwk"; value: Readonly<Record<string, unknown>> };

/** Far above any real key or key set. */
const MAX_SIZE = 1024 * 1024;

/**
 * Recognises the form of a key file by its content.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function readKeyMaterial(input: KeyInput): KeyMaterial {
  if (typeof input !== "string" && !(input instanceof Uint8Array)) {
    return { form: "jwk", value: input };
  }
  if (input.length > MAX_SIZE) throw unrecognized("it is larger than any key");
  const text = (typeof input === "string" ? input : Buffer.from(input).toString("utf8"))
    .replace(/^\uFEFF/, "")
    .trim();
  if (text.startsWith("{")) return { form: "jwk", value: parseJwk(text) };
  const blocks = pemBlocks(text);
  if (blocks.length > 0) return { form: "pem", blocks };
  if (typeof input !== "string") {
    const kind = derKind(input);
    if (kind !== undefined) return { form: "der", kind, bytes: input };
  }
  if (text === "") throw unrecognized("it is empty");
  if (text.includes("-----BEGIN ")) throw unrecognized("its PEM block has no end");
  throw unrecognized("it is neither PEM nor DER nor JWK");
}

/**
 * Refuses an EC private key whose number is longer than its curve's order. OpenSSL imports such a
 * key, and exporting it as a JWK, which jose does too, ends the process with a failed assertion
 * (src/crypto/crypto_util.cc of Node.js, EncodeBignum). Exporting it as SEC1 only fails.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function requireSound(key: KeyObject): KeyObject {
  if (key.asymmetricKeyType !== "ec") return key;
  try {
    key.export({ type: "sec1", format: "der" }).fill(0);
    return key;
  } catch {
    throw unrecognized("its private number does not fit its curve");
  }
}

export function unrecognized(why: string): OcicryptError {
  return new OcicryptError("KEY_UNRECOGNIZED", `this is not a key that can be used here: ${why}`);
}

function parseJwk(text: string): Readonly<Record<string, unknown>> {
  // The reason can quote the text, which can be a private key.
  const refuse = (): OcicryptError => unrecognized("it starts like a JWK and is not valid JSON");
  return requireObject(parseJson(text, { maxSize: MAX_SIZE, refuse }), refuse);
}
