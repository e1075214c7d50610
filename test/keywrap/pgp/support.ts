import { readFileSync } from "node:fs";
import { isOcicryptError } from "../../../src/errors.js";

const HERE = new URL("./gnupg/", import.meta.url);
const PEERS = new URL("../../../vectors/peers/", import.meta.url);

/** A file made by gpg, of this folder. */
export function gnupg(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, HERE)));
}

/** A file of the peers' vectors. */
export function peer(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, PEERS)));
}

/** The code that something fails with; fails itself when it does not fail. */
export async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (isOcicryptError(error)) return error.code;
    throw error;
  }
  throw new Error("it did not fail");
}

export function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString("utf8");
}

/** A packet with a current header and a length of five octets; RFC 9580 section 4.2.1.3. */
export function packet(tag: number, ...body: (Uint8Array | readonly number[])[]): Buffer {
  const bytes = Buffer.concat(body.map((part) => Uint8Array.from(part)));
  const header = Buffer.alloc(6, 0xff);
  header[0] = 0xc0 | tag;
  header.writeUInt32BE(bytes.byteLength, 2);
  return Buffer.concat([header, bytes]);
}

/** A version 3 public-key encrypted session key packet; RFC 9580 section 5.1.1. */
export function sessionKey(keyId: string, algorithm: number, rest: Uint8Array): Buffer {
  return packet(1, [3], Buffer.from(keyId, "hex"), [algorithm], rest);
}

export const SECRET = "This is some secret text";
