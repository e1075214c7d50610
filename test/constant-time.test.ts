import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

// How long a comparison takes is nothing that a test of behaviour can see.
function read(path: string): string {
  return readFileSync(new URL(`../src/${path}`, import.meta.url), "utf8");
}

it("engine/node/hash.ts compares in constant time", () => {
  expect(read("engine/node/hash.ts")).toMatch(/\btimingSafeEqual\(/);
});

it("engine/web/hash.ts compares all bytes of both", () => {
  const [, body] = /isEqual.*?=> \{(.*?)\n\};/s.exec(read("engine/web/hash.ts"))!;
  const [length, ...rest] = body!.trim().split("\n");
  expect(length).toContain("byteLength !== b.byteLength) return false;");
  expect(rest.filter((line) => /return|break|&&|\|\|/.test(line))).toEqual([
    "  return difference === 0;",
  ]);
});

it.each([
  "cipher/aes-ctr-hmac.ts",
  "image/features/binding.ts",
  "keys/pkcs12/protection.ts",
  "layer/encrypt.ts",
])("%s compares hashes with the engine's function", (path) => {
  expect(read(path)).toMatch(/import \{[^}]*\bisEqual\b[^}]*\} from "#engine\/hash"/);
  expect(read(path)).toMatch(/isEqual\([^)]*\b(?:hmac|mac|expected|hash)\b/);
});
