import type { KeyObject, webcrypto } from "node:crypto";
import { fromBase64 as decodeBase64, toHex, toUtf8 } from "#engine/bytes";
import { isKeyObject } from "#engine/keys";
import { shown, type OcicryptError, unrecognizedKey } from "../errors.js";
import { MAX_KEY_FILE_ENCODINGS, MAX_KEY_FILE_SIZE } from "../spec/limits.js";
import { parseJson, requireObject } from "../text/json.js";
import { type AsymmetricKey, fromKeyObject } from "./asymmetric-key.js";
import { derKind, type DerKind } from "./der.js";
import { isOpenSshText } from "./openssh.js";
import { type PemBlock, pemBlocks } from "./pem.js";

/**
 * A key in any accepted form: the text or bytes of a key file, a parsed JWK or JWK Set, or a key of
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
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, with a message that says why
 */
export function readKeyMaterial(input: KeyInput): KeyMaterial {
  if (isKeyObject(input)) return { form: "object", key: fromKeyObject(input) };
  if (typeof input !== "string" && !(input instanceof Uint8Array)) {
    return fromJson(input as Readonly<Record<string, unknown>>);
  }
  if (input.length > MAX_KEY_FILE_SIZE) throw unrecognizedKey("it is larger than any key");
  const content = recoverKeyFile(input);
  if (typeof content !== "string") {
    const kind = derKind(content);
    if (kind !== undefined) return { form: "der", kind, bytes: content };
    throw unrecognizedKey(whyNotBinary(content));
  }
  if (content.startsWith("{")) return fromJson(parseJwk(content));
  const blocks = pemBlocks(content);
  if (blocks.length > 0) return { form: "pem", blocks };
  if (isOpenSshText(content)) return { form: "openssh", text: content };
  if (isCompactJwe(content)) return { form: "jwe", text: content };
  throw unrecognizedKey(whyNotText(content));
}

/** An encrypted JWK, which the step command writes, is a JWE: RFC 7516 section 7.2. */
function fromJson(value: Readonly<Record<string, unknown>>): KeyMaterial {
  if (typeof value.ciphertext === "string") return { form: "jwe", text: JSON.stringify(value) };
  if (value.kind === "Secret" && value.apiVersion === "v1") {
    throw unrecognizedKey("it is a Kubernetes Secret; keysFromFiles of ocicrypt/keys reads it");
  }
  const [name] = Object.entries(value).find(([, text]) => isPemText(text)) ?? [];
  if (name !== undefined && value.kty === undefined) {
    const command = `jq -r '.["${name.slice(0, 40)}"]' FILE > key.pem`;
    throw unrecognizedKey(
      `it is JSON with PEM in its member ${shown(name)}; take it out: ${command}`,
    );
  }
  return { form: "jwk", value };
}

function isPemText(value: unknown): boolean {
  return typeof value === "string" && value.includes("-----BEGIN ");
}

function parseJwk(text: string): Readonly<Record<string, unknown>> {
  // The reason can quote the text, which can be a private key.
  const refuse = (): OcicryptError => unrecognizedKey("it starts like a JWK but is not valid JSON");
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
  if (text.includes("AGE-SECRET-KEY-")) {
    return "it is a file of age identities without its line ends";
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

/**
 * Restores the content of a key file as the program wrote it. Secret stores, environment variables,
 * YAML and PowerShell change the text around a key without losing information: they escape its line
 * ends, encode the file in base64 or UTF-16, or add a byte order mark.
 *
 * @returns the text, without a byte order mark and surrounding space, or the bytes of a binary file
 */
export function recoverKeyFile(content: string | Uint8Array): string | Uint8Array {
  let recovered = decode(content);
  for (let i = 0; i < MAX_KEY_FILE_ENCODINGS && typeof recovered === "string"; i++) {
    const inner = fromBase64(recovered);
    if (inner === undefined) break;
    const decoded = decode(inner);
    if (typeof decoded === "string") inner.fill(0);
    if (!isPromising(decoded)) break;
    recovered = decoded;
  }
  return recovered;
}

function decode(content: string | Uint8Array): string | Uint8Array {
  if (typeof content === "string") return restore(content);
  const bytes = withoutMark(content);
  if (isBinary(bytes)) return bytes;
  return restore(utf16(bytes) ?? toUtf8(bytes));
}

function isBinary(bytes: Uint8Array): boolean {
  if (derKind(bytes) !== undefined || isPkcs12InBer(bytes)) return true;
  if (utf16(bytes) !== undefined) return false;
  return bytes.includes(0) || isBinaryOpenPgp(bytes) || isJavaKeyStore(bytes);
}

function withoutMark(bytes: Uint8Array): Uint8Array {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return hasMark ? bytes.subarray(3) : bytes;
}

/**
 * Decodes UTF-16 with a byte order mark, or without one if every other byte at the start is zero.
 */
function utf16(bytes: Uint8Array): string | undefined {
  const [a, b, c, d] = bytes;
  const isLittle = (a === 0xff && b === 0xfe) || (a !== 0 && b === 0 && c !== 0 && d === 0);
  const isBig = (a === 0xfe && b === 0xff) || (a === 0 && b !== 0 && c === 0 && d !== 0);
  if ((!isLittle && !isBig) || bytes.byteLength < 4) return undefined;
  let text = "";
  const [low, high] = isLittle ? [0, 1] : [1, 0];
  for (let at = 0; at + 1 < bytes.byteLength; at += 2) {
    text += String.fromCharCode((bytes[at + low] ?? 0) | ((bytes[at + high] ?? 0) << 8));
  }
  return text;
}

function restore(text: string): string {
  return unescape(unquote(text.replace(/^\uFEFF/, "").trim()));
}

/** Removes the quotes around a whole file, as environment files and JSON have them. */
function unquote(text: string): string {
  const [, quote = "", inner] = /^(["'])([^]*)\1$/.exec(text) ?? [];
  if (inner === undefined) return text;
  if (!inner.includes(quote)) return inner.trim();
  return inner.startsWith("{\\") ? fromJsonString(text) : text;
}

/** A JWK inside a JSON string. */
function fromJsonString(text: string): string {
  try {
    const value = parseJson(text, {
      maxSize: MAX_KEY_FILE_SIZE,
      refuse: () => unrecognizedKey(""),
    });
    return typeof value === "string" ? value.trim() : text;
  } catch {
    return text;
  }
}

/**
 * Restores line ends that are written as `\n`, as in environment files and in JSON, and spaces that a
 * web page made no-break spaces. PEM holds neither of its own, and JSON is left to its parser.
 */
function unescape(text: string): string {
  if (text.startsWith("{") || !KEY_START.test(text)) return text;
  const spaced = text.replaceAll("\u00A0", " ");
  // The comment of an OpenSSH key may be DOMAIN\name, and YAML resolves its own escapes.
  if (!/-----BEGIN |^(?!ssh-|ecdsa-).*$/.test(spaced)) return spaced;
  return spaced.replace(/(?<!\\)(?:\\+r\\+n|\\+[nr])/g, "\n");
}

/** The marks of a key in a text that is not JSON. */
const KEY_START = /-----BEGIN[ \u00A0]|AGE-SECRET-KEY-1|^(?:ssh-|ecdsa-)|(?:^|\\[nr])age1/m;

/** Decodes a text that is entirely base64, possibly in lines or quotes. */
function fromBase64(text: string): Uint8Array | undefined {
  const body = text.replace(/^["']|["']$|\s+/g, "");
  if (body.length < 40 || !/^[\w+/-]+={0,2}$/.test(body)) return undefined;
  return decodeBase64(body);
}

/**
 * Whether decoded base64 looks like a file, because every word of a certain length is valid base64.
 */
function isPromising(decoded: string | Uint8Array): boolean {
  if (typeof decoded === "string") {
    return decoded.startsWith("{") || KEY_START.test(decoded) || fromBase64(decoded) !== undefined;
  }
  if (derKind(decoded) !== undefined || isPkcs12InBer(decoded)) return true;
  return isBinaryOpenPgp(decoded) || isJavaKeyStore(decoded);
}

/**
 * Whether content starts with the packet of a primary key, in either format: RFC 9580 section 4.2.
 */
export function isBinaryOpenPgp(content: Uint8Array): boolean {
  const first = content[0] ?? 0;
  if ((first & 0x80) === 0) return false;
  const tag = (first & 0x40) === 0 ? (first >> 2) & 0x0f : first & 0x3f;
  return tag === 5 || tag === 6;
}

/** Whether content starts with the magic number of a JKS or JCEKS file. */
function isJavaKeyStore(content: Uint8Array): boolean {
  const magic = toHex(content.subarray(0, 4));
  return magic === "feedfeed" || magic === "cececece";
}

/**
 * Whether content is a PFX with an indefinite outermost length, which BER allows and some programs
 * write: a SEQUENCE of the version and a SEQUENCE.
 */
export function isPkcs12InBer(content: Uint8Array): boolean {
  const start = [0x30, 0x80, 0x02, 0x01, 0x03, 0x30];
  return start.every((byte, index) => content[index] === byte);
}
