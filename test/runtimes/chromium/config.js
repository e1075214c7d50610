import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { resolveEngine, WEB_TESTS } from "../../support/engines.js";
import { LACKS } from "../lacks.js";
import { nodeModules } from "./node-modules.js";

/** The tests of the engine for browsers, in Debian's Chromium; see docs/testing.md. */
export default defineConfig({
  plugins: [nodeModules()],
  resolve: resolveEngine("web"),
  optimizeDeps: {
    // A package that Vite discovers during the tests would load the page again. Those that are not
    // here load unbundled, which needs ES modules.
    noDiscovery: true,
    include: [
      "@noble/ciphers/aes.js",
      ...["hmac", "legacy", "pbkdf2", "scrypt", "sha2"].map((name) => `@noble/hashes/${name}.js`),
      ...["age-encryption", "asn1js", "bcrypt-pbkdf", "buffer/", "fast-check", "jose", "openpgp"],
      ...["compact", "flattened"].flatMap((form) => [
        `jose/jwe/${form}/decrypt`,
        `jose/jwe/${form}/encrypt`,
      ]),
      ...["p-limit", "pako", "pkijs", "tar-stream", "yaml"],
    ],
  },
  test: {
    name: "chromium",
    include: WEB_TESTS,
    exclude: LACKS.chromium.filter(({ tests }) => tests === undefined).map(({ file }) => file),
    setupFiles: ["test/runtimes/chromium/setup.js", "test/support/web-engine.ts"],
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      isolate: false,
      provider: playwright({
        launchOptions: {
          executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
          args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        },
      }),
      instances: [{ browser: "chromium" }],
    },
  },
});
