import { MAX_KEY_FILE_ENCODINGS } from "../spec/limits.js";
import { derKind } from "./der.js";

/**
 * The content of a key file as its key's program wrote it. Secret stores, environment variables,
 * YAML and PowerShell change the text around a key without losing any of it: they escape its line
 * ends, encode the file in base64 or UTF-16, or put a byte order mark before it.
 *
 * @returns text, without a byte order mark and space around it, or the bytes of a binary file
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
  if (typeof content === "string") return unescape(content.replace(/^\uFEFF/, "").trim());
  const bytes = withoutMark(content);
  if (isBinary(bytes)) return bytes;
  return unescape(utf16(bytes) ?? Buffer.from(bytes).toString("utf8").trim());
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

/** UTF-16 with a byte order mark, or without one where every other byte of the start is zero. */
function utf16(bytes: Uint8Array): string | undefined {
  const [a, b, c, d] = bytes;
  const isLittle = (a === 0xff && b === 0xfe) || (a !== 0 && b === 0 && c !== 0 && d === 0);
  const isBig = (a === 0xfe && b === 0xff) || (a === 0 && b !== 0 && c === 0 && d !== 0);
  if ((!isLittle && !isBig) || bytes.byteLength < 4) return undefined;
  const even = Buffer.from(bytes.subarray(0, bytes.byteLength & ~1));
  const text = (isLittle ? even : even.swap16()).toString("utf16le");
  even.fill(0);
  return text.replace(/^\uFEFF/, "").trim();
}

/**
 * Line ends that are written as `\n`, as in environment files and in JSON. A PEM file holds no
 * backslash of its own, and the lines of a JSON document are left to its parser.
 */
function unescape(text: string): string {
  const isPem = text.includes("-----BEGIN ") && !text.startsWith("{");
  return isPem ? text.replace(/\\+r\\+n|\\+[nr]/g, "\n") : text;
}

/** The bytes of a text that is base64 and nothing else, in lines or quotes at most. */
function fromBase64(text: string): Buffer | undefined {
  const body = text.replace(/^["']|["']$|\s+/g, "");
  if (body.length < 40 || !/^[\w+/-]+={0,2}$/.test(body)) return undefined;
  return Buffer.from(body, "base64");
}

/** Whether decoded base64 looks like a file: any word of some length is base64 of something. */
function isPromising(decoded: string | Uint8Array): boolean {
  if (typeof decoded === "string") {
    return /-----BEGIN |^(?:ssh-|ecdsa-|\{)/.test(decoded) || fromBase64(decoded) !== undefined;
  }
  if (derKind(decoded) !== undefined || isPkcs12InBer(decoded)) return true;
  return isBinaryOpenPgp(decoded) || isJavaKeyStore(decoded);
}

/** A packet of a primary key in either of its formats: RFC 9580, section 4.2. */
export function isBinaryOpenPgp(content: Uint8Array): boolean {
  const first = content[0] ?? 0;
  if ((first & 0x80) === 0) return false;
  const tag = (first & 0x40) === 0 ? (first >> 2) & 0x0f : first & 0x3f;
  return tag === 5 || tag === 6;
}

/** The magic numbers of JKS and JCEKS files. */
export function isJavaKeyStore(content: Uint8Array): boolean {
  const magic = Buffer.from(content.subarray(0, 4)).toString("hex");
  return magic === "feedfeed" || magic === "cececece";
}

/**
 * A PFX whose outermost length is indefinite, as BER allows it and some programs write it: a
 * SEQUENCE of the version and a SEQUENCE.
 */
export function isPkcs12InBer(content: Uint8Array): boolean {
  const start = [0x30, 0x80, 0x02, 0x01, 0x03, 0x30];
  return start.every((byte, index) => content[index] === byte);
}
