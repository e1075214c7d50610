import {
  Z_BUF_ERROR,
  Z_NO_FLUSH,
  Z_OK,
  Z_STREAM_END,
  zlibInflate,
  zlibInflateInit2,
  zlibInflateReset,
  ZStream,
} from "pako";
import { nextTurn } from "./turn.js";

/** In bytes. */
const OUTPUT = 256 * 1024;
/** The number of outputs after which other work has its turn. */
const OUTPUTS_AT_ONCE = 16;
/** The largest window, and the header and trailer of gzip; see `inflateInit2` of zlib. */
const GZIP = 15 + 16;

/**
 * Reads gzip as Node.js does (src/node_zlib.cc): all members, and zeros after them, behind which
 * nothing counts. The `Inflate` class of pako drops a member that starts with a new chunk.
 *
 * @param damaged makes the error for content that is damaged or cut off
 */
export async function* gunzip(
  content: AsyncIterable<Uint8Array>,
  damaged: (cause: unknown) => Error,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = new ZStream();
  let isBetweenMembers = false;
  let outputs = 0;
  check(zlibInflateInit2(stream, GZIP));
  empty();

  function empty(): void {
    [stream.output, stream.next_out, stream.avail_out] = [new Uint8Array(OUTPUT), 0, OUTPUT];
  }

  function check(status: number): number {
    // Without room or input, zlib says that it could do nothing.
    if (status === Z_OK || status === Z_STREAM_END || status === Z_BUF_ERROR) return status;
    throw damaged(new Error(stream.msg));
  }

  for await (const chunk of content) {
    [stream.input, stream.next_in, stream.avail_in] = [chunk, 0, chunk.byteLength];
    for (let isFull = false; stream.avail_in > 0 || isFull;) {
      if (isBetweenMembers) {
        if (chunk[stream.next_in] === 0) {
          yield* rest();
          return;
        }
        check(zlibInflateReset(stream));
        isBetweenMembers = false;
      }
      const status = check(zlibInflate(stream, Z_NO_FLUSH));
      isBetweenMembers = status === Z_STREAM_END;
      isFull = stream.avail_out === 0 && !isBetweenMembers;
      if (stream.avail_out > 0) continue;
      yield stream.output;
      empty();
      if (++outputs % OUTPUTS_AT_ONCE === 0) await nextTurn();
    }
  }
  if (!isBetweenMembers) throw damaged(new Error("unexpected end of file"));
  yield* rest();

  function* rest(): Generator<Uint8Array, void, undefined> {
    if (stream.next_out > 0) yield stream.output.subarray(0, stream.next_out);
  }
}
