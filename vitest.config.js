import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

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
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/interop/**"],
          // Some start several processes, on machines that may be busy.
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "interop",
          include: ["test/interop/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
