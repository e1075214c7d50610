import { describe, expect, it } from "vitest";
import { handoff } from "../../src/io/handoff.js";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe("handoff", () => {
  it("gives a chunk once the reader is done with it", async () => {
    const handed = handoff();
    const reader = handed.content[Symbol.asyncIterator]();
    const events: string[] = [];
    const given = handed.give(bytes(1)).then(() => events.push("given"));
    expect((await reader.next()).value).toEqual(bytes(1));
    events.push("read");
    const next = reader.next();
    await given;
    expect(events).toEqual(["read", "given"]);
    const second = handed.give(bytes(2));
    expect((await next).value).toEqual(bytes(2));
    const last = reader.next();
    await second;
    handed.end();
    expect(await last).toEqual({ done: true, value: undefined });
  });

  it("does not wait for a reader that stopped", async () => {
    const handed = handoff();
    const given = handed.give(bytes(1));
    for await (const chunk of handed.content) if (chunk.length > 0) break;
    await given;
    await handed.give(bytes(2));
    handed.end();
  });

  it("ends for a reader that comes late", async () => {
    const handed = handoff();
    handed.end();
    expect(await handed.content[Symbol.asyncIterator]().next()).toEqual({
      done: true,
      value: undefined,
    });
  });
});
