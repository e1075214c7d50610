import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // All cores: by itself it leaves one free, which is half of the smallest machines of CI.
    maxWorkers: "100%",
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
