import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { interruptible } from "../../src/io/abort.js";

const NEVER = new Promise<never>(() => undefined);

describe("interruptible", () => {
  it("returns the values of promises, with and without a signal", async () => {
    for (const signal of [undefined, new AbortController().signal]) {
      const waits = interruptible(signal);
      expect(await waits.wait(Promise.resolve(1))).toBe(1);
      await expect(waits.wait(Promise.reject(new Error("broken")))).rejects.toThrow("broken");
      expect(await waits.wait(Promise.resolve(2))).toBe(2);
    }
  });

  it("ends a wait when the signal aborts", async () => {
    const controller = new AbortController();
    const waits = interruptible(controller.signal);
    await waits.wait(Promise.resolve());
    const waiting = waits.wait(NEVER);
    controller.abort(new Error("stop"));
    await expect(waiting).rejects.toThrow("stop");
  });

  it("does not wait for a signal that has aborted", async () => {
    const waits = interruptible(AbortSignal.abort(new Error("stop")));
    await expect(waits.wait(NEVER)).rejects.toThrow("stop");
    await expect(waits.wait(Promise.reject(new Error("broken")))).rejects.toThrow("stop");
  });

  it("has one listener for all waits, and none after its end", async () => {
    const { signal } = new AbortController();
    const waits = interruptible(signal);
    for (let i = 0; i < 20; i++) {
      await waits.wait(Promise.resolve(i));
      expect(getEventListeners(signal, "abort")).toHaveLength(1);
    }
    waits.end();
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});
