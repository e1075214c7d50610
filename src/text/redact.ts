import {
  concat,
  fromBase64,
  fromHex,
  fromLatin1,
  toBase64,
  toHex,
  toLatin1,
  toUtf8,
} from "#engine/bytes";
import { OcicryptError } from "../errors.js";

const MARK = "[redacted]";
/** An encoded secret may show fewer characters than this: 8 characters of base64 are 6 bytes. */
const WINDOW = 8;
/** The number of consecutive bytes, written as numbers, that count as a part of a secret. */
const NUMBERS = 4;
/** The most bytes of all secrets, and characters of a text: each call takes only milliseconds. */
const MAX_SECRETS = 8 * 1024;
const MAX_TEXT = 16 * 1024;

/** The forms in which programs print bytes: `0x7b, 0x22`, `7b:22`, `\x7b\x22`, `%7B%22`; and `123, 34`. */
const HEX_LIST = /(?:(?:\\x|0x|%|\\u00)?[0-9a-f]{2}[\s:,;-]*){4,}/gi;
const DECIMAL_LIST = /(?:-?\d{1,3}[\s,;]+){3,}\d{1,3}/g;

/** The characters of a string literal of Python, C or Go, with bytes such as `\x7b`, `\173` and `\n`. */
const LITERAL =
  /\\(?:x\{?([0-9a-fA-F]{2})\}?|u00([0-9a-fA-F]{2})|([0-3]?[0-7]{1,2})|([nrtabfv]))|[^]/g;
/** A letter or digit, without the colours of a terminal. */
const SIGN = /(?:\x1b\[[\d;]*m)|([A-Za-z0-9])/g;

/** The longest secret whose rarer spellings are searched for, in bytes; a layer's key has 32. */
const MAX_RARE = 256;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LETTERS = `${BASE32.slice(0, 26)}${BASE32.slice(0, 26).toLowerCase()}`;
/** The alphabets of base85: Ascii85, RFC 1924 as Python writes it, and https://rfc.zeromq.org/spec/32. */
const BASE85: readonly string[] = [
  String.fromCharCode(...Array.from({ length: 85 }, (_, i) => i + 33)),
  `0123456789${LETTERS}!#$%&()*+-;<=>?@^_\`{|}~`,
  `0123456789${LETTERS.slice(26)}${LETTERS.slice(0, 26)}.-:+=^!/*?&<>()[]{}@%$#`,
];

const TOKEN = /[\w+/=-]{8,}/g;
/** The member that holds a layer's key in its private options, in JSON or a dump of an object. */
const SYMKEY = /symkey\\?["']?\s*[:=]\s*\\?["']?[^\s"',}\\]+/gi;

/**
 * Removes secrets from a text that another program or module wrote. A secret is recognised as text,
 * base64 (also URL-safe, and inside other base64), hexadecimal, lists of numbers and string literals,
 * and a secret of up to 256 bytes also as base32, base85 and one number. White space, quotation marks
 * and other separators between the characters make no difference. Parts of a secret are recognised
 * too, because messages are often cut off. The private options of any layer are always removed.
 *
 * @param text cut after 16 Ki characters
 * @param secrets bytes that must not appear, and the quoted values in them. Only the first 8 KiB
 *   are searched for; a layer's private options have about 200 bytes.
 */
export function redact(text: string, secrets: readonly Uint8Array[]): string {
  if (text.length > MAX_TEXT) return `${redact(text.slice(0, MAX_TEXT), secrets)}…`;
  const whole = limited(secrets).flatMap(valuesOf);
  const hidden = new Uint8Array(text.length);
  const encoded = whole.flatMap(spellings);
  hideWindows(text, [...whole.map(toLatin1), ...whole.map(toUtf8), ...encoded], hidden);
  // In groups, lines, lists, quotation marks or colours; and in literals with some bytes escaped.
  const joined = encoded.map((each) => each.replace(/[^A-Za-z0-9]/g, ""));
  hideSigns(text, joined, hidden, SIGN, ([, sign = ""]) => sign);
  hideSigns(text, whole.map(toLatin1), hidden, LITERAL, byteOf);
  hideNumbers(text, whole, hidden);
  for (const match of text.matchAll(SYMKEY)) hidden.fill(1, match.index, endOf(match));
  for (const match of text.matchAll(TOKEN)) {
    // The ends of a secret are shorter than a window.
    const isHidden = hidden.subarray(match.index, endOf(match)).includes(1);
    if (isHidden || holdsPrivateOptions(match[0])) hidden.fill(1, match.index, endOf(match));
  }
  return replaceHidden(text, hidden);
}

/**
 * Removes everything from a text that could be a key in some encoding, for the output of a program
 * whose secret is unknown here. UUIDs, and digests with their algorithm, are kept.
 */
export function redactOpaque(text: string): string {
  return text.replace(/(?<!sha(?:256|512):)(?<![\w+/=])[\w+/=]{24,}/g, (token) => {
    const isHex = /^[0-9a-f]+$/i.test(token);
    const isMixed = /[0-9]/.test(token) && /[a-z]/.test(token) && /[A-Z]/.test(token);
    return isHex || isMixed ? MARK : token;
  });
}

/**
 * Returns an error that shows no secret. If the error shows none, it is returned unchanged;
 * otherwise the result is an error of the same code with a redacted message and no other members.
 *
 * @param secrets as in {@link redact}
 */
export function redactError(error: unknown, secrets: readonly Uint8Array[]): unknown {
  if (!shows(error, secrets, 0)) return error;
  if (!(error instanceof Error)) return new Error(redact(String(error), secrets));
  const message = redact(error.message, secrets);
  const cause = error.cause === undefined ? {} : { cause: redactError(error.cause, secrets) };
  return error instanceof OcicryptError
    ? new OcicryptError(error.code, message, cause)
    : new Error(message, cause);
}

/** Errors of other modules have members with messages, outputs and requests. */
function shows(value: unknown, secrets: readonly Uint8Array[], depth: number): boolean {
  if (typeof value === "string") {
    const start = value.slice(0, MAX_TEXT);
    return redact(start, secrets) !== start;
  }
  if (typeof value !== "object" || value === null || depth > 5) return false;
  if (value instanceof Uint8Array) {
    return shows(toLatin1(value.subarray(0, MAX_TEXT)), secrets, depth);
  }
  const members = Object.getOwnPropertyNames(value).slice(0, 100);
  return members.some((name) => {
    // Getters are not called, because they are code of another module.
    const property = Object.getOwnPropertyDescriptor(value, name);
    return property !== undefined && shows(property.value as unknown, secrets, depth + 1);
  });
}

function limited(secrets: readonly Uint8Array[]): Uint8Array[] {
  let room = MAX_SECRETS;
  return secrets.map((secret) => {
    const part = secret.subarray(0, room);
    room -= part.byteLength;
    return part;
  });
}

/** Returns a secret and, if it is JSON, the values in it, as they are and decoded from base64. */
function valuesOf(secret: Uint8Array): Uint8Array[] {
  const quoted = toLatin1(secret).matchAll(/"([^"\\]{8,})"/g);
  const values = [...quoted].flatMap(([, value = ""]) => [
    fromLatin1(value),
    ...(/^[\w+/-]+={0,2}$/.test(value) ? [fromBase64(value)] : []),
  ]);
  return [secret, ...values];
}

function spellings(secret: Uint8Array): string[] {
  const base64 = alignments(secret);
  return [
    ...base64.flatMap((text) => [text, text.replaceAll("/", "\\/"), encodeURIComponent(text)]),
    ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
    // A request of a key provider is base64 inside JSON, and often logged as base64 itself.
    ...base64.flatMap((text) => alignments(fromLatin1(text))),
    toHex(secret),
    toHex(secret).toUpperCase(),
    ...(secret.byteLength > 0 && secret.byteLength <= MAX_RARE ? rareSpellings(secret) : []),
  ];
}

function rareSpellings(secret: Uint8Array): string[] {
  const base32 = [0, 1, 2, 3, 4].map((offset) =>
    toBase32(shifted(secret, offset)).slice(Math.ceil((offset * 8) / 5)),
  );
  const base85 = BASE85.flatMap((alphabet) =>
    [0, 1, 2, 3].map((offset) =>
      toBase85(shifted(secret, offset), alphabet).slice(offset === 0 ? 0 : 5),
    ),
  );
  const numbers = [secret, secret.toReversed()].map((bytes) =>
    BigInt(`0x${toHex(bytes)}`).toString(),
  );
  return [...base32, ...base32.map((text) => text.toLowerCase()), ...base85, ...numbers];
}

function shifted(bytes: Uint8Array, offset: number): Uint8Array {
  return concat([new Uint8Array(offset), bytes]);
}

/** RFC 4648 section 6, without padding. */
function toBase32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const groups = bits.match(/.{1,5}/g) ?? [];
  return groups.map((group) => BASE32.charAt(parseInt(group.padEnd(5, "0"), 2))).join("");
}

/** Four bytes are five digits, the last ones fewer. */
function toBase85(bytes: Uint8Array, alphabet: string): string {
  let text = "";
  for (let at = 0; at < bytes.byteLength; at += 4) {
    const part = bytes.subarray(at, at + 4);
    const [a = 0, b = 0, c = 0, d = 0] = part;
    const value = ((a * 256 + b) * 256 + c) * 256 + d;
    const digits = [4, 3, 2, 1, 0].map((i) => alphabet.charAt(Math.floor(value / 85 ** i) % 85));
    text += digits.slice(0, part.byteLength + 1).join("");
  }
  return text;
}

/**
 * Returns the base64 of bytes at each position inside a longer text; only characters that depend on
 * these bytes alone.
 */
function alignments(bytes: Uint8Array): string[] {
  return [0, 1, 2].map((offset) => {
    const text = toBase64(shifted(bytes, offset));
    const end = text.replace(/=+$/, "").length;
    return text.slice(offset === 0 ? 0 : offset + 1, bytes.byteLength < 4 ? end : end - 1);
  });
}

function hideWindows(text: string, secrets: readonly string[], hidden: Uint8Array): void {
  const windows = new Set<string>();
  for (const secret of secrets) {
    if (secret.length < WINDOW && secret.length >= NUMBERS) hideAll(text, secret, hidden);
    for (let at = 0; at + WINDOW <= secret.length; at++) {
      const window = secret.slice(at, at + WINDOW);
      // Private options hold a digest, and the start of every sixteenth other digest looks like it.
      if (!window.includes("256:")) windows.add(window);
    }
  }
  for (let at = 0; at + WINDOW <= text.length; at++) {
    if (windows.has(text.slice(at, at + WINDOW))) hidden.fill(1, at, at + WINDOW);
  }
}

function byteOf([sign, hex, unicode, octal, control]: RegExpExecArray): string {
  if (control !== undefined) return "\n\r\t\u0007\b\f\v".charAt("nrtabfv".indexOf(control));
  const byte = parseInt(hex ?? unicode ?? octal ?? "", octal === undefined ? 16 : 8);
  return Number.isNaN(byte) ? sign : String.fromCharCode(byte);
}

/** Hides secrets in what the matches of a pattern mean together. */
function hideSigns(
  text: string,
  secrets: readonly string[],
  hidden: Uint8Array,
  pattern: RegExp,
  meaningOf: (match: RegExpExecArray) => string,
): void {
  const signs = [...text.matchAll(pattern)].filter((match) => meaningOf(match) !== "");
  const found = new Uint8Array(signs.length);
  hideWindows(signs.map(meaningOf).join(""), secrets, found);
  for (const [at, match] of signs.entries()) {
    const next = found[at + 1] === 1 ? signs[at + 1]?.index : undefined;
    if (found[at] === 1) hidden.fill(1, match.index, next ?? endOf(match));
  }
}

function hideAll(text: string, secret: string, hidden: Uint8Array): void {
  for (let at = text.indexOf(secret); at >= 0; at = text.indexOf(secret, at + 1)) {
    hidden.fill(1, at, at + secret.length);
  }
}

function hideNumbers(text: string, secrets: readonly Uint8Array[], hidden: Uint8Array): void {
  const windows = new Set<string>();
  for (const secret of secrets) {
    for (let at = 0; at + NUMBERS <= secret.byteLength; at++) {
      windows.add(toHex(secret.subarray(at, at + NUMBERS)));
    }
  }
  const lists: [RegExp, (list: string) => number[]][] = [
    [HEX_LIST, (list) => (list.match(/[0-9a-f]{2}(?![xX])/gi) ?? []).map((n) => parseInt(n, 16))],
    [DECIMAL_LIST, (list) => (list.match(/-?\d+/g) ?? []).map(Number)],
  ];
  for (const [pattern, numbersIn] of lists) {
    for (const match of text.matchAll(pattern)) {
      const bytes = Uint8Array.from(numbersIn(match[0].replace(/\\u00|0x/gi, " ")));
      for (let at = 0; at + NUMBERS <= bytes.byteLength; at++) {
        if (!windows.has(toHex(bytes.subarray(at, at + NUMBERS)))) continue;
        hidden.fill(1, match.index, endOf(match));
        break;
      }
    }
  }
}

/**
 * Whether a token is base64 or hexadecimal of private options, possibly encoded twice or cut off.
 */
function holdsPrivateOptions(token: string, depth = 0): boolean {
  const decoded = [
    toLatin1(fromHex(token)),
    ...[0, 1, 2, 3].map((at) => toLatin1(fromBase64(token.slice(at)))),
  ];
  return decoded.some(
    (text) =>
      /symkey|cipheroptions/.test(text) ||
      (depth < 2 && /^[\w+/=-]{16,}$/.test(text) && holdsPrivateOptions(text, depth + 1)),
  );
}

function replaceHidden(text: string, hidden: Uint8Array): string {
  let result = "";
  for (let at = 0; at < text.length; at++) {
    if (hidden[at] === 0) result += text.charAt(at);
    else if (at === 0 || hidden[at - 1] === 0) result += MARK;
  }
  return result;
}

function endOf(match: RegExpExecArray): number {
  return match.index + match[0].length;
}
