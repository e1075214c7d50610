import type { Descriptor } from "../spec/descriptor.js";
import { isDocumentType, isManifestType } from "../spec/manifest.js";
import type { ImageSource } from "../store/types.js";
import { isOcicryptError, OcicryptError } from "../errors.js";
import { registryClient, type RegistryClient } from "./client.js";
import { getManifest, type StoredManifest } from "./manifest.js";
import type { RegistryOptions } from "./options.js";
import { readReferrers } from "./referrers.js";
import { placeOf, showReference, type RegistryReference } from "./reference.js";
import { parseDigest } from "../spec/digest.js";
import type { HttpRequest, OpenAnswer } from "./exchange.js";
import { invalidAnswer, isTransient } from "./failure.js";

/**
 * An image in a registry: the one of the reference's digest, or else what its tag names at the time
 * when it is resolved. Downloads that break off go on where they were.
 *
 * Its functions reject with {@link OcicryptError} `REFERENCE_INVALID` for a reference without tag
 * and digest, `IMAGE_NOT_FOUND`, `BLOB_NOT_FOUND`,
 * `MANIFEST_TOO_LARGE`, `BLOB_DIGEST_MISMATCH` for a manifest that is not what its digest says,
 * `REGISTRY_UNREACHABLE`, `REGISTRY_DENIED`, `REGISTRY_FAILED`, `REGISTRY_INVALID_RESPONSE`,
 * `CREDENTIALS_INVALID`.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 * @throws {TypeError} {RangeError} for an option that can not be used
 */
export function registrySource(
  reference: RegistryReference,
  options: RegistryOptions = {},
): ImageSource {
  const client = registryClient(reference, options);
  const name = reference.digest ?? reference.tag;
  let root: StoredManifest | undefined;

  async function readManifest(
    { digest, mediaType }: Descriptor,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    return (await getManifest(client, digest, "BLOB_NOT_FOUND", signal, mediaType)).bytes;
  }

  return {
    place: placeOf(reference),
    async resolve({ signal } = {}) {
      if (name === undefined) {
        const message = `${showReference(reference)} names no tag and no digest`;
        throw new OcicryptError("REFERENCE_INVALID", message);
      }
      root = await getManifest(client, name, "IMAGE_NOT_FOUND", signal);
      return { mediaType: root.mediaType, digest: root.digest, size: root.bytes.byteLength };
    },
    async *read(descriptor, { signal } = {}) {
      if (descriptor.digest === root?.digest) {
        yield root.bytes;
      } else if (isDocumentType(descriptor.mediaType)) {
        yield await readManifest(descriptor, signal);
      } else {
        try {
          yield* downloadBlob(client, descriptor, signal);
        } catch (error) {
          // The name of a type does not tell: a SOCI index is a blob.
          const isAbsent = isOcicryptError(error, "BLOB_NOT_FOUND");
          if (!isAbsent || !isManifestType(descriptor.mediaType)) throw error;
          yield await readManifest(descriptor, signal);
        }
      }
    },
    referrers: (digest, { signal } = {}) => readReferrers(client, digest, signal),
  };
}

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
  const url = await client.url(`blobs/${algorithm}:${hex}`);
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
