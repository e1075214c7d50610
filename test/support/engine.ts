/** Whether the tests run with the engine for browsers; see vitest.config.js. */
export const isWebEngine: boolean = process.env.OCICRYPT_TEST_ENGINE === "web";
