import type { BytesEngine } from "../types.js";

export const concat: BytesEngine["concat"] = (parts) => {
  const joined = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return joined;
};

export const fromUtf8: BytesEngine["fromUtf8"] = (text) => new TextEncoder().encode(text);

export const toUtf8: BytesEngine["toUtf8"] = (bytes) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

export const fromLatin1: BytesEngine["fromLatin1"] = (text) => {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
};

export const toLatin1: BytesEngine["toLatin1"] = (bytes) => {
  let text = "";
  // A call takes only so many arguments.
  for (let at = 0; at < bytes.byteLength; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
};

export const fromBase64: BytesEngine["fromBase64"] = (text) => {
  const [body = ""] = text.split("=", 1);
  const digits = body
    .replaceAll("-", "+")
    .replaceAll("_", "/")
    .replace(/[^A-Za-z0-9+/]+/g, "");
  // Node.js drops a last character that makes no whole byte.
  return fromLatin1(atob(digits.length % 4 === 1 ? digits.slice(0, -1) : digits));
};

const DIGITS = /* @__PURE__ */ fromUtf8(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
);

/** Not btoa(), which takes text, so that the bytes would pass through a text of their own. */
export const toBase64: BytesEngine["toBase64"] = (bytes) => {
  const size = bytes.byteLength;
  const text = new Uint8Array(Math.ceil(size / 3) * 4).fill("=".charCodeAt(0));
  for (let from = 0, to = 0; from < size; from += 3, to += 4) {
    const [a = 0, b = 0, c = 0] = [bytes[from], bytes[from + 1], bytes[from + 2]];
    const group = (a << 16) | (b << 8) | c;
    text[to] = DIGITS[group >> 18] ?? 0;
    text[to + 1] = DIGITS[(group >> 12) & 63] ?? 0;
    if (from + 1 < size) text[to + 2] = DIGITS[(group >> 6) & 63] ?? 0;
    if (from + 2 < size) text[to + 3] = DIGITS[group & 63] ?? 0;
  }
  return new TextDecoder().decode(text);
};

export const toBase64url: BytesEngine["toBase64url"] = (bytes) =>
  toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export const fromHex: BytesEngine["fromHex"] = (text) => {
  const [digits = ""] = /^(?:[0-9a-f]{2})*/i.exec(text) ?? [];
  const bytes = new Uint8Array(digits.length / 2);
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = parseInt(digits.slice(2 * at, 2 * at + 2), 16);
  }
  return bytes;
};

export const toHex: BytesEngine["toHex"] = (bytes) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
