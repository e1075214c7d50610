import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { resolveEngine, WEB_TESTS } from "./test/support/engines.js";

/** Journals of interrupted runs do not go to the developer's own directory. */
const STATE = { XDG_STATE_HOME: join(tmpdir(), "ocicrypt-test-state") };
const POLL = { poll: { timeout: 60_000 } };

/** The tests that need no other programs. */
function unit(name, exclude) {
  return {
    resolve: resolveEngine("node"),
    test: {
      name,
      env: STATE,
      include: ["test/**/*.test.ts"],
      exclude: ["test/interop/**", "test/web/**", ...exclude],
      // Some start several processes, on machines that may be busy.
      testTimeout: 180_000,
      hookTimeout: 180_000,
      expect: POLL,
    },
  };
}

export default defineConfig({
  test: {
    // Many tests wait for processes and servers, so more files run at once than there are cores.
    maxWorkers: 2 * availableParallelism(),
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text-summary", "json-summary", "html"],
      reportsDirectory: "reports/coverage",
      thresholds: {
        // Just below what is measured; docs/testing.md says where.
        "src/{cipher,io,keys,keywrap,layer,spec,text}/**/*.ts": {
          statements: 94,
          branches: 91,
          functions: 94,
          lines: 95,
        },
      },
    },
    projects: [
      unit("unit", []),
      // For other versions of Node.js: texts and declarations are the same there, and so are what a
      // killed process leaves and what passes from one kind of place to another.
      unit("versions", [
        "test/{docs,generated,package,prose,structure}.test.ts",
        "test/api/**",
        "test/cli/interrupted*.test.ts",
        "test/image/places.test.ts",
      ]),
      {
        // The tests of the modules that use only the engine once more, as in a browser.
        resolve: resolveEngine("web"),
        test: {
          name: "web",
          env: { OCICRYPT_TEST_ENGINE: "web" },
          include: WEB_TESTS,
          setupFiles: ["test/support/web-engine.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        resolve: resolveEngine("node"),
        test: {
          // The same tests once more, with threads for layers of every size.
          name: "threads",
          include: [
            "test/layer/{vectors,encrypt,decrypt,peers}.test.ts",
            "test/image/{roundtrip,peers,decrypt,rotate}.test.ts",
          ],
          setupFiles: ["test/support/with-threads.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          expect: POLL,
        },
      },
      {
        resolve: resolveEngine("node"),
        test: {
          name: "interop",
          env: STATE,
          include: ["test/interop/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          expect: POLL,
        },
      },
      {
        resolve: resolveEngine("node"),
        test: {
          // The page, in Chromium.
          name: "page",
          include: ["test/web/**/*.test.ts"],
          globalSetup: ["test/web/serve-page.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
