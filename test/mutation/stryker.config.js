/**
 * Mutation testing, `npm run mutation`; docs/testing.md says what is measured and what is left.
 *
 * @type {import("@stryker-mutator/api/core").PartialStrykerOptions}
 */
export default {
  testRunner: "vitest",
  vitest: { configFile: "test/mutation/vitest.config.js", related: false },
  plugins: ["@stryker-mutator/vitest-runner", "./test/mutation/wording.js"],
  ignorers: ["wording"],
  // Modules that use keys and plaintext, and their parsers. CI mutates some of them.
  mutate: [
    "src/cipher/*.ts",
    "src/layer/unwrap.ts",
    "src/layer/wrap.ts",
    "src/keywrap/pkcs11/config.ts",
    "src/keywrap/pkcs7/key-transport.ts",
    "src/keywrap/pkcs11/oaep.ts",
    "src/spec/base64.ts",
    "src/spec/digest.ts",
    "src/spec/manifest.ts",
    "src/io/content.ts",
    "src/image/features/decrypt-policy.ts",
  ],
  coverageAnalysis: "perTest",
  // Shorter ones kill mutants that are merely slow on a busy machine.
  timeoutMS: 30_000,
  // A run that kills less than 92 % fails, of one file or of all.
  thresholds: { high: 96, low: 92, break: 92 },
  reporters: ["clear-text", "json"],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: "reports/mutation.json" },
  tempDirName: "reports/stryker",
  cleanTempDir: "always",
  ignorePatterns: ["dist", "reports", "coverage"],
};
