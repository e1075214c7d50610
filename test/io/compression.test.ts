import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { compressionOf } from "../../src/io/compression.js";

it.for([
  ["gzip", gzipSync("")],
  ["zstd", Buffer.from("28b52ffd00", "hex")],
  // RFC 8878 section 3.1.2.
  ["zstd", Buffer.from("502a4d18", "hex")],
  ["zstd", Buffer.from("5f2a4d18", "hex")],
  ["none", Buffer.from("602a4d18", "hex")],
  ["none", Buffer.from("4f2a4d18", "hex")],
  ["none", Buffer.from("1f8b08", "hex")],
  ["none", Buffer.from("some text")],
  ["none", Buffer.alloc(0)],
] as const)("finds %s by the first bytes", ([compression, head]) => {
  expect(compressionOf(head)).toBe(compression);
});
