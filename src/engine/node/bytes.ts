import type { BytesEngine } from "../types.js";

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const concat: BytesEngine["concat"] = (parts) => Buffer.concat(parts);
export const fromUtf8: BytesEngine["fromUtf8"] = (text) => Buffer.from(text, "utf8");
export const toUtf8: BytesEngine["toUtf8"] = (bytes) => viewOf(bytes).toString("utf8");
export const fromLatin1: BytesEngine["fromLatin1"] = (text) => Buffer.from(text, "latin1");
export const toLatin1: BytesEngine["toLatin1"] = (bytes) => viewOf(bytes).toString("latin1");
export const fromBase64: BytesEngine["fromBase64"] = (text) => Buffer.from(text, "base64");
export const toBase64: BytesEngine["toBase64"] = (bytes) => viewOf(bytes).toString("base64");
export const toBase64url: BytesEngine["toBase64url"] = (bytes) =>
  viewOf(bytes).toString("base64url");
export const fromHex: BytesEngine["fromHex"] = (text) => Buffer.from(text, "hex");
export const toHex: BytesEngine["toHex"] = (bytes) => viewOf(bytes).toString("hex");
