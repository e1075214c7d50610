import { vi } from "vitest";

/** Layers of every size use two threads, so that the tests of layers and images run with them too. */
vi.mock(import("../../src/threads/passes.js"), async (original) => {
  const passes = await original();
  const openPasses: typeof passes.openPasses = (size = 0, threads = 2) =>
    passes.openPasses(Math.max(size, 64 * 1024 * 1024), threads);
  return { ...passes, openPasses };
});
