/**
 * Mutation testing, `npm run mutation`; docs/testing.md says what is measured and what is left.
 *
 * @type {import("@stryker-mutator/api/core").PartialStrykerOptions}
 */
export default {
  testRunner: "vitest",
  vitest: { configFile: "test/mutation/vitest.config.js", related: false },
  plugins: ["@stryker-mutator/vitest-runner"],
  // The part for which CI has five minutes: what touches keys and plaintext, and its parsers.
  mutate: [
    "src/cipher/*.ts",
    "src/keywrap/pkcs7/key-transport.ts",
    "src/keywrap/pkcs11/oaep.ts",
    "src/spec/base64.ts",
    "src/spec/digest.ts",
    "src/io/content.ts",
    "src/image/features/decrypt-policy.ts",
  ],
  coverageAnalysis: "perTest",
  // Shorter ones kill mutants that are merely slow on a busy machine.
  timeoutMS: 30_000,
  // A file below 92 is marked; below 85, what the whole core had when it was first measured, it fails.
  thresholds: { high: 96, low: 92, break: 85 },
  reporters: ["clear-text", "json"],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: "reports/mutation.json" },
  tempDirName: "reports/stryker",
  cleanTempDir: "always",
  ignorePatterns: ["dist", "reports", "coverage"],
};
