const PRIVATE = "test/keys/private-key.test.ts";
const PUBLIC = "test/keys/public-key.test.ts";
const PKCS12 = "test/keys/pkcs12.test.ts";

/** The tests make such keys; reading them is not in question. */
const CURVES = {
  tests: /JWE cannot use but other schemes may/,
  reason: "makes neither brainpool nor RSA-PSS keys",
};

const AES_192 = "has no AES-192: KEY_UNSUPPORTED, or WRAPPED_KEY_UNSUPPORTED of a layer";
const TIME = "does not tell processor time";
const STREAMS = "streams of Node.js stay in Node.js";
const IMAGES = "has no files, so its images are those of test/blobs and of the page";
const SLOW = "computes for long, as in Node.js";
const PROGRAMS = "reads files of other programs as in Node.js, with many requests to it";
const CURVES_OF_OPENPGP = "OpenPGP.js has these curves in browsers";

/**
 * The unit tests that fail on a runtime, with what it lacks. Those with `isSkipped` are not run. An
 * entry without `tests` is for all tests of its files, which are not run either. Key files with
 * missing ciphers are rejected with `KEY_UNSUPPORTED`.
 *
 * @typedef {{ file: string, tests?: RegExp, isSkipped?: boolean, reason: string }} Lack
 * @type {Record<string, Lack[]>}
 */
export const LACKS = {
  chromium: [
    { file: "test/image/**/*.test.ts", reason: IMAGES },
    { file: "test/files/{export,list,read,spool}.test.ts", reason: IMAGES },
    {
      file: "test/keywrap/pkcs7/pkijs-messages.test.ts",
      reason: "@peculiar/webcrypto, which makes the messages, needs Node.js",
    },
    { file: "test/keywrap/pkcs7/damage.test.ts", reason: SLOW },
    ...[
      ["test/blobs/destination.test.ts", /the same as in a file/, IMAGES],
      ["test/engine/content-cipher.test.ts", /in GCM opens/, SLOW],
      ["test/engine/inflate.test.ts", /bomb/, SLOW],
      ["test/files/merge.test.ts", /too many steps/, SLOW],
      ["test/files/tar-reader.test.ts", /archives of other programs/, PROGRAMS],
      ["test/io/source.test.ts", /a Node stream/, STREAMS],
      ["test/io/blobs.test.ts", /9437185|1048575/, SLOW],
      ["test/keywrap/jwe/key.test.ts", /decompression bomb/, SLOW],
      ["test/layer/decrypt.test.ts", /of 1048576 bytes/, SLOW],
      ["test/layer/encrypt.test.ts", /1048577 bytes|50001 bytes/, SLOW],
      ["test/wycheproof/symmetric.test.ts", /sha224/, SLOW],
    ].map(([file, tests, reason]) => ({ file, tests, reason, isSkipped: true })),
    { file: "test/engine/cipher.test.ts", tests: /a key of 24 bytes/, reason: AES_192 },
    { file: "test/layer/vectors.test.ts", tests: /a192kw/, reason: AES_192 },
    { file: "test/keywrap/jwe/jwe.test.ts", tests: /honours alg and kid of/, reason: AES_192 },
    { file: "test/keywrap/jwe/key.test.ts", tests: /A192(?:KW|CBC|GCM)/, reason: AES_192 },
    { file: "test/layer/wrapped-keys.test.ts", tests: /is fast/, reason: TIME },
    { file: "test/keywrap/pkcs7/handmade-messages.test.ts", tests: / fast /, reason: TIME },
    { file: "test/keywrap/pgp/key.test.ts", tests: /Argon2 with too many/, reason: TIME },
    {
      file: "test/keywrap/pgp/key.test.ts",
      tests: /(?:brainpool|secp256k1)\.gpg/,
      reason: CURVES_OF_OPENPGP,
    },
    {
      file: "test/keywrap/pgp/pgp.test.ts",
      tests: /(?:brainpool|secp256k1)/i,
      reason: CURVES_OF_OPENPGP,
    },
    { file: "test/layer/decrypt.test.ts", tests: /a Node stream/, reason: STREAMS },
    { file: "test/layer/encrypt.test.ts", tests: /a Node stream/, reason: STREAMS },
    {
      file: "test/layer/encrypt.test.ts",
      tests: /hides the secret/,
      reason: "has no util.inspect, and that of Node.js sees a copy",
    },
  ],
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
