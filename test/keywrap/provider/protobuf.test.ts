import { describe, expect, it } from "vitest";
import { decodeMessage, encodeMessage } from "../../../src/keywrap/provider/grpc.js";

// Varints by https://protobuf.dev/programming-guides/encoding/#varints
const HEADERS: [number, string][] = [
  [0, "0a00"],
  [1, "0a01"],
  [127, "0a7f"],
  [128, "0a8001"],
  [150, "0a9601"],
  [16383, "0aff7f"],
  [16384, "0a808001"],
  [2097152, "0a80808001"],
];

describe("the message with one field", () => {
  it.each(HEADERS)("of %i bytes", (size, header) => {
    const content = Buffer.alloc(size, 7);
    const message = encodeMessage(content);
    expect(Buffer.from(message).toString("hex", 0, header.length / 2)).toBe(header);
    expect(message.byteLength).toBe(header.length / 2 + size);
    expect(content.equals(decodeMessage(message)!)).toBe(true);
  });

  it("may leave the field out", () => {
    expect(decodeMessage(new Uint8Array())).toEqual(new Uint8Array());
  });

  it("may write a length with more bytes than it needs", () => {
    expect(decodeMessage(Buffer.from("0a818000aa", "hex"))).toEqual(Buffer.of(0xaa));
  });

  it.each([
    ["another field", "1201aa"],
    ["another wire type", "0801"],
    ["no length", "0a"],
    ["half a length", "0a80"],
    ["a length without end", "0affffffffffffffffffff01"],
    ["a length of five bytes", "0a8180808000aa"],
    ["a length above what there is", "0a02aa"],
    ["a length above every limit", "0affffff7f"],
    ["bytes behind it", "0a01aabb"],
    ["the field twice", "0a01aa0a01bb"],
  ])("is not %s", (_what, hex) => {
    expect(decodeMessage(Buffer.from(hex, "hex"))).toBeNull();
  });
});
