import { defineConfig } from "vitest/config";

/** The tests that mutants run: those of the modules that stryker.config.js names. */
export default defineConfig({
  test: {
    include: [
      "test/cipher/*.test.ts",
      "test/image/features/decrypt-policy.test.ts",
      "test/io/content.test.ts",
      "test/keywrap/pkcs7/{key-transport,pkcs1-v1_5}.test.ts",
      "test/keywrap/pkcs11/{oaep,software}.test.ts",
      "test/layer/{decrypt,encrypt}.test.ts",
      "test/spec/{base64,digest}.test.ts",
      "test/wycheproof/rsa.test.ts",
    ],
    testTimeout: 60_000,
  },
});
