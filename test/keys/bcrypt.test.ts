import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { readPrivateKeys } from "../../src/keys/private-key.js";

const threads = vi.hoisted(() => ({ started: 0 }));
vi.mock("node:worker_threads", async (importOriginal) => {
  const original = await importOriginal<typeof import("node:worker_threads")>();
  return {
    ...original,
    Worker: class extends original.Worker {
      constructor(...args: ConstructorParameters<typeof original.Worker>) {
        threads.started++;
        super(...args);
      }
    },
  };
});

const locked = readFileSync(new URL("fixtures/openssh/locked-aes256-ctr", import.meta.url));
const { versions } = process;

afterEach(() => {
  Object.defineProperty(process, "versions", { value: versions });
  threads.started = 0;
});

describe("a locked OpenSSH key", () => {
  it("is opened in a thread", async () => {
    expect(await readPrivateKeys(locked, { password: "secret" })).toHaveLength(1);
    expect(threads.started).toBe(1);
  });

  it("is opened without a thread in Bun, whose single-file builds cannot load its module", async () => {
    Object.defineProperty(process, "versions", { value: { ...versions, bun: "1.3.0" } });
    expect(await readPrivateKeys(locked, { password: "secret" })).toHaveLength(1);
    expect(threads.started).toBe(0);
  });
});
