import { Session } from "node:inspector";

/**
 * Which blocks of this library's code have run, as V8 counts them: it needs no instrumented build
 * and no native part.
 */
export function createCoverage() {
  const session = new Session();
  session.connect();
  post("Profiler.enable");
  post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const seen = new Set();

  // All that is asked here answers at once.
  function post(method, parameters) {
    let answer;
    session.post(method, parameters, (error, result) => {
      if (error) throw error;
      answer = result;
    });
    return answer;
  }

  return {
    /** The blocks that have run since the last call and, before it, never. */
    takeNew() {
      const found = take().filter((block) => !seen.has(block));
      for (const block of found) seen.add(block);
      return new Set(found);
    },
    take,
    get size() {
      return seen.size;
    },
  };

  function take() {
    const blocks = [];
    for (const { url, scriptId, functions } of post("Profiler.takePreciseCoverage").result) {
      if (!url.includes("/dist/") || url.includes("/node_modules/")) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count > 0) blocks.push(`${scriptId}:${startOffset}:${endOffset}`);
        }
      }
    }
    return blocks;
  }
}
