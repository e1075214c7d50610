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
