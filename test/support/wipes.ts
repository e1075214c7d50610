import { vi } from "vitest";

/** The sizes of the buffers that are filled with zeros while something runs, in bytes. */
export async function wipedSizes(run: () => Promise<unknown>): Promise<number[]> {
  const spies = [vi.spyOn(Uint8Array.prototype, "fill"), vi.spyOn(Buffer.prototype, "fill")];
  try {
    await run();
    return spies.flatMap(({ mock }) =>
      mock.contexts
        .filter((_, call) => mock.calls[call]?.[0] === 0)
        .map((buffer) => (buffer as Uint8Array).byteLength),
    );
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
