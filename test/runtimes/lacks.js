const PRIVATE = "test/keys/private-key.test.ts";
const PUBLIC = "test/keys/public-key.test.ts";
const PKCS12 = "test/keys/pkcs12.test.ts";

/** The tests make such keys; reading them is not in question. */
const CURVES = {
  tests: /JWE cannot use but other schemes may/,
  reason: "makes neither brainpool nor RSA-PSS keys",
};

/**
 * The unit tests that fail on a runtime, with what it lacks. Keys with these ciphers are rejected with
 * `KEY_UNSUPPORTED`.
 *
 * @type {Record<string, { file: string, tests: RegExp, reason: string }[]>}
 */
export const LACKS = {
  bun: [
    {
      file: PRIVATE,
      tests: /dek-info-des\.pem/,
      reason: "opens single DES, which Node.js rejects",
    },
    {
      file: PRIVATE,
      tests: /for (?:aria|camellia)-256-cbc/,
      reason: "has neither ARIA nor Camellia",
    },
    { file: PKCS12, tests: /camellia-key\.p12/, reason: "has no Camellia" },
    { file: PRIVATE, ...CURVES },
    { file: PUBLIC, ...CURVES },
  ],
  deno: [
    {
      file: PRIVATE,
      tests: /for (?:aria|camellia)-256-cbc/,
      reason: "has neither ARIA nor Camellia",
    },
    { file: PKCS12, tests: /pbe-2des\.p12/, reason: "has no 3DES with two keys" },
    { file: PKCS12, tests: /aes-192\.p12/, reason: "has no AES-192" },
    { file: PKCS12, tests: /camellia-key\.p12/, reason: "has no Camellia" },
    { file: PRIVATE, ...CURVES },
    { file: PUBLIC, ...CURVES },
  ],
};
