import { MAX_MESSAGE_SIZE } from "./limits.js";

/** Field 1, length-delimited: the one field that requests and answers have. */
const TAG = 0x0a;

/** Encodes the protocol buffers message with one field of bytes. */
export function encodeMessage(bytes: Uint8Array): Uint8Array {
  const header = [TAG];
  let length = bytes.byteLength;
  for (; length >= 0x80; length = Math.floor(length / 0x80)) header.push((length % 0x80) | 0x80);
  header.push(length);
  return Buffer.concat([Uint8Array.from(header), bytes]);
}

/** The bytes in such a message, none if it leaves the field out; `null` for any other message. */
export function decodeMessage(message: Uint8Array): Uint8Array | null {
  if (message.byteLength === 0) return message;
  if (message[0] !== TAG) return null;
  let length = 0;
  let offset = 1;
  // Four bytes of seven bits are more than a message may have.
  for (let scale = 1; ; scale *= 0x80, offset++) {
    const byte = message[offset];
    if (byte === undefined || offset > 4) return null;
    length += (byte % 0x80) * scale;
    if (byte < 0x80) break;
  }
  offset++;
  if (length > MAX_MESSAGE_SIZE || offset + length !== message.byteLength) return null;
  return message.subarray(offset);
}
