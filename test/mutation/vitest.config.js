import { defineConfig } from "vitest/config";
import { resolveEngine } from "../support/engines.js";

/** The tests that mutants run: those of the modules that stryker.config.js names. */
export default defineConfig({
  resolve: resolveEngine("node"),
  test: {
    include: [
      "test/cipher/*.test.ts",
      "test/image/features/decrypt-policy.test.ts",
      "test/io/content.test.ts",
      "test/keywrap/bad-padding.test.ts",
      "test/keywrap/pkcs7/{handmade-messages,key,key-transport,openssl-messages}.test.ts",
      "test/keywrap/pkcs11/{config,oaep,software}.test.ts",
      "test/layer/{decrypt,encrypt,unwrap,wrap}.test.ts",
      "test/spec/{base64,digest,manifest}.test.ts",
      "test/wycheproof/rsa.test.ts",
    ],
    testTimeout: 60_000,
  },
});
