import { OcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import type { RegistryClient } from "./client.js";
import type { HttpRequest, OpenAnswer } from "./http.js";
import { invalidAnswer, isTransient } from "./failure.js";

/** So many new bytes are reason enough to count failures from zero again. */
const PROGRESS = 1024 * 1024;

/**
 * The content of a blob, not verified. Where a connection breaks off, another one goes on.
 *
 * @throws {@link OcicryptError} `BLOB_NOT_FOUND`, `REGISTRY_INVALID_RESPONSE`, and the others of a
 *   registry
 */
export async function* downloadBlob(
  client: RegistryClient,
  { digest, size }: Descriptor,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { algorithm, hex } = parseDigest(digest);
  const url = client.url(`blobs/${algorithm}:${hex}`);
  let offset = 0;
  let pauses = client.backoff();
  let renewal = PROGRESS;
  for (;;) {
    const headers = {
      "accept-encoding": "identity",
      ...(offset > 0 && { range: `bytes=${String(offset)}-` }),
    };
    const request = { method: "GET" as const, url, headers, signal };
    const answer = await client.open(request, {
      404: "BLOB_NOT_FOUND",
      416: "REGISTRY_INVALID_RESPONSE",
    });
    let skip = offset - startOf(request, answer, offset, size);
    try {
      for await (const chunk of answer.body) {
        const fresh = chunk.subarray(Math.min(skip, chunk.byteLength));
        skip -= chunk.byteLength - fresh.byteLength;
        if (fresh.byteLength === 0) continue;
        offset += fresh.byteLength;
        if (offset > size) throw tooMuch(digest, size);
        yield fresh;
      }
      return;
    } catch (error) {
      if (offset === size && isTransient(error)) return;
      if (offset >= renewal) {
        pauses = client.backoff();
        renewal = offset + PROGRESS;
      }
      if (!isTransient(error) || !(await pauses.again(error.message, signal))) throw error;
    }
  }
}

/** Where an answer starts: a registry need not know ranges, then it starts from the front. */
function startOf(request: HttpRequest, answer: OpenAnswer, offset: number, size: number): number {
  if (answer.status === 200) return 0;
  const range = /^bytes (\d{1,16})-(\d{1,16})\/(?:(\d{1,16})|\*)$/.exec(
    answer.headers.get("content-range") ?? "",
  );
  const [start, end, total] = [range?.[1], range?.[2], range?.[3] ?? size].map(Number);
  const isRest = start === offset && end === size - 1 && total === size;
  if (answer.status === 206 && offset > 0 && isRest) return offset;
  answer.close();
  throw invalidAnswer(request, "it is not the part of the blob that was asked for");
}

function tooMuch(digest: string, size: number): OcicryptError {
  const message = `the descriptor of ${digest} says ${String(size)} bytes, the registry sends more`;
  return new OcicryptError("BLOB_SIZE_MISMATCH", message);
}
