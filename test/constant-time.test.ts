import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

// How long a comparison takes is nothing that a test of behaviour can see.
it.each([
  "cipher/aes-ctr-hmac.ts",
  "image/features/binding.ts",
  "keys/pkcs12/protection.ts",
  "layer/encrypt.ts",
])("%s compares HMACs in constant time", (path) => {
  const source = readFileSync(new URL(`../src/${path}`, import.meta.url), "utf8");
  expect(source).toMatch(/\btimingSafeEqual\(/);
});
