import { OcicryptError } from "../errors.js";

/** The most bytes that are read at once. */
const READ_SIZE = 1024 * 1024;

/**
 * Yields the bytes of a blob, in chunks of new memory. While a chunk is in use, the next one is being
 * read.
 *
 * @param name of the blob in messages
 * @throws {@link OcicryptError} `SOURCE_UNREADABLE`, also if the file behind the blob has changed
 */
export async function* readBlob(
  blob: Blob,
  name: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { size } = blob;
  let next = size > 0 ? readPart(blob, 0, name) : undefined;
  for (let start = READ_SIZE; next !== undefined; start += READ_SIZE) {
    const chunk: Uint8Array = await next;
    next = start < size ? readPart(blob, start, name) : undefined;
    // Reported when the chunk is asked for.
    next?.catch(() => undefined);
    yield chunk;
  }
}

async function readPart(blob: Blob, start: number, name: string): Promise<Uint8Array> {
  const part = blob.slice(start, start + READ_SIZE);
  let bytes: ArrayBuffer;
  try {
    bytes = await part.arrayBuffer();
  } catch (cause) {
    // Browsers have a few names for this: https://w3c.github.io/FileAPI/#ErrorAndException
    const reason = cause instanceof Error ? cause.name : "unknown reason";
    const message = `${name} cannot be read (${reason}); a file must not change after it was chosen`;
    throw new OcicryptError("SOURCE_UNREADABLE", message, { cause });
  }
  if (bytes.byteLength !== part.size) {
    throw new OcicryptError("SOURCE_UNREADABLE", `${name} changed while it was read`);
  }
  return new Uint8Array(bytes);
}

/** In bytes: browsers put parts of this size on disk when they run out of room in memory. */
const PART_SIZE = 4 * 1024 * 1024;

/**
 * Takes content into a `Blob`, with little of it in memory: browsers keep large blobs on disk.
 *
 * @param where what the content is, for messages
 * @throws {@link OcicryptError} `DESTINATION_FULL` if the browser has no room; and the errors of the
 *   content
 */
export async function collectBlob(
  content: AsyncIterable<Uint8Array>,
  where: string,
): Promise<Blob> {
  const parts: Blob[] = [];
  const buffer = new Uint8Array(PART_SIZE);
  let length = 0;

  async function flush(): Promise<void> {
    if (length === 0) return;
    const part = new Blob([buffer.subarray(0, length)]);
    length = 0;
    // Without this, parts that are on their way to the disk would gather in memory; and a browser
    // without room says so only when a blob is read.
    await part
      .slice(-1)
      .arrayBuffer()
      .catch((cause: unknown) => {
        const message = `there is no space left for ${where}`;
        throw new OcicryptError("DESTINATION_FULL", message, { cause });
      });
    parts.push(part);
  }

  try {
    for await (const chunk of content) {
      for (let start = 0; start < chunk.byteLength;) {
        const part = chunk.subarray(start, start + PART_SIZE - length);
        buffer.set(part, length);
        length += part.byteLength;
        start += part.byteLength;
        if (length === PART_SIZE) await flush();
      }
    }
    await flush();
    return new Blob(parts);
  } finally {
    // It may hold plaintext.
    buffer.fill(0);
  }
}
