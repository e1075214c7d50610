import type { KeyObject, webcrypto } from "node:crypto";
import type { OcicryptError } from "../errors.js";
import { MAX_KEY_FILE_SIZE } from "../spec/limits.js";
import { parseJson, requireObject } from "../text/json.js";
import { fromKeyObject, isKeyObject, type AsymmetricKey } from "./asymmetric-key.js";
import { derKind, type DerKind } from "./der.js";
import { isJavaKeyStore, recoverKeyFile } from "./key-text.js";
import { isOpenSshText } from "./openssh.js";
import { pemBlocks, type PemBlock } from "./pem.js";
import { unrecognized } from "./refusals.js";

/**
 * A key as its owner has it: the text or bytes of a key file, a parsed JWK or JWK Set, or a key of
 * Node.js or Web Cryptography.
 */
export type KeyInput =
  string | Uint8Array | KeyObject | webcrypto.CryptoKey | Readonly<Record<string, unknown>>;

/** The parts of a key file, by the form of its content. */
export type KeyMaterial =
  | { form: "pem"; blocks: PemBlock[] }
  | { form: "der"; kind: DerKind; bytes: Uint8Array }
  | { form: "jwk"; value: Readonly<Record<string, unknown>> }
  | { form: "jwe"; text: string }
  | { form: "openssh"; text: string }
  | { form: "object"; key: AsymmetricKey & { operations?: readonly string[] } };

/**
 * Recognises the form of a key file by its content.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, naming what is wrong with the file
 */
export function readKeyMaterial(input: KeyInput): KeyMaterial {
  if (isKeyObject(input)) return { form: "object", key: fromKeyObject(input) };
  if (typeof input !== "string" && !(input instanceof Uint8Array)) return fromJson(input);
  if (input.length > MAX_KEY_FILE_SIZE) throw unrecognized("it is larger than any key");
  const content = recoverKeyFile(input);
  if (typeof content !== "string") {
    const kind = derKind(content);
    if (kind !== undefined) return { form: "der", kind, bytes: content };
    throw unrecognized(whyNotBinary(content));
  }
  if (content.startsWith("{")) return fromJson(parseJwk(content));
  const blocks = pemBlocks(content);
  if (blocks.length > 0) return { form: "pem", blocks };
  if (isOpenSshText(content)) return { form: "openssh", text: content };
  if (isCompactJwe(content)) return { form: "jwe", text: content };
  throw unrecognized(whyNotText(content));
}

/** An encrypted JWK, which the step command writes, is a JWE: RFC 7516 section 7.2. */
function fromJson(value: Readonly<Record<string, unknown>>): KeyMaterial {
  if (typeof value.ciphertext === "string") return { form: "jwe", text: JSON.stringify(value) };
  if (value.kind === "Secret" && value.apiVersion === "v1") {
    throw unrecognized("it is a Kubernetes Secret; keysFromFiles of ocicrypt/keys reads it");
  }
  return { form: "jwk", value };
}

function parseJwk(text: string): Readonly<Record<string, unknown>> {
  // The reason can quote the text, which can be a private key.
  const refuse = (): OcicryptError => unrecognized("it starts like a JWK but is not valid JSON");
  return requireObject(parseJson(text, { maxSize: MAX_KEY_FILE_SIZE, refuse }), refuse);
}

function isCompactJwe(text: string): boolean {
  return /^eyJ[\w-]*\.[\w-]*\.[\w-]*\.[\w-]*\.[\w-]*$/.test(text);
}

function whyNotBinary(content: Uint8Array): string {
  if (isJavaKeyStore(content)) {
    const command =
      "keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12";
    return `it is a Java key store; convert a copy with ${command}`;
  }
  return "it is neither PEM nor DER nor JWK";
}

function whyNotText(text: string): string {
  if (text === "") return "it is empty";
  if (text.startsWith("PuTTY-User-Key-File-")) {
    return "it is a PuTTY key; convert a copy with puttygen FILE -O private-openssh -o FILE.key";
  }
  if (text.includes("---- BEGIN SSH2 ")) {
    return "it is an SSH2 public key; convert it with ssh-keygen -i -m RFC4716 -f FILE";
  }
  if (text.includes("-----BEGIN ")) return "its PEM block has no end";
  if (text.includes("-----END ")) return "its PEM block has no BEGIN line";
  if (/[\u2010-\u2015\u2212-]\s*BEGIN [A-Z ]+/.test(text.slice(0, 1000))) {
    return "the dashes of its BEGIN line are not the five hyphens of PEM";
  }
  if (/^kind: *["']?Secret\b/m.test(text)) {
    return "it is a Kubernetes Secret; keysFromFiles of ocicrypt/keys reads it";
  }
  return "it is neither PEM nor DER nor JWK";
}
