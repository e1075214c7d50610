/** The size of the parts that are handed over, in bytes. */
const PART = 4 * 1024 * 1024;

/**
 * Collects content in a blob. The browser keeps it outside the memory of the worker, and on disk if
 * there is much of it.
 *
 * @param limit the most bytes; what follows is not read. Default: no limit
 */
export async function toBlob(
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  limit = Infinity,
): Promise<Blob> {
  const parts: Blob[] = [];
  let held: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  let total = 0;
  for await (const chunk of content) {
    signal.throwIfAborted();
    const part = chunk.subarray(0, limit - total);
    held.push(Uint8Array.from(part));
    size += part.byteLength;
    total += part.byteLength;
    if (total === limit) break;
    if (size < PART) continue;
    parts.push(new Blob(held));
    [held, size] = [[], 0];
  }
  return new Blob([...parts, ...held]);
}
