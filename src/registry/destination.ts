import { isOcicryptError, OcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import type { ImageDestination } from "../store/types.js";
import { anySignal } from "../io/abort.js";
import { isSuccess, registryClient, type RegistryRequest } from "./client.js";
import { failure } from "./failure.js";
import { getManifest, putManifest } from "./manifest.js";
import { atLeast } from "../http/backoff.js";
import type { RegistryDestinationOptions } from "./options.js";
import { checkReference, placeOf, type RegistryReference } from "./reference.js";
import { requireNoDigest } from "../store/reference.js";
import { isBlob } from "./blob.js";
import { openUpload, type Upload } from "./upload.js";

export interface RegistryDestination extends ImageDestination {
  /**
   * Sends a request for one byte, because on a `HEAD` request zot links a blob from any of its
   * repositories.
   */
  exposes(descriptor: Descriptor): Promise<boolean>;
  /**
   * Mounts a blob from the repository `mountFrom`, without transferring its content.
   *
   * @returns whether the repository now has the blob; also false if the registry refused
   */
  mount(descriptor: Descriptor): Promise<boolean>;
}

interface Written {
  mediaType: string;
  bytes: Uint8Array;
}

/** In milliseconds; short, because a user who has pressed Ctrl-C waits for this. */
const CONFIRM_TIMEOUT = 5000;

/**
 * Opens an image in a registry for writing. Blobs and manifests are pushed under their digests, and
 * the last request writes the tag. Until then nothing refers to the pushed content, and registries
 * remove it eventually. Without a tag, the image can only be pulled by its digest. If an image is
 * edited, its tag is read again before the last request, and is not written if it has moved
 * (`DESTINATION_CHANGED`). If the registry sends an `ETag` for the image, the request contains it
 * in `If-Match`.
 *
 * Its functions reject with {@link OcicryptError} `REGISTRY_UNREACHABLE`, `REGISTRY_DENIED`,
 * `REGISTRY_FAILED`, `REGISTRY_INVALID_RESPONSE`, `CREDENTIALS_INVALID`, `MANIFEST_TOO_LARGE`,
 * `DESTINATION_CHANGED`; `write` also with `REGISTRY_UPLOAD_LOST` if the blob must be sent again
 * from its start.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 * @throws {TypeError} {RangeError} for an invalid option
 */
// eslint-disable-next-line @typescript-eslint/require-await -- a failure is a rejection
export async function registryDestination(
  reference: RegistryReference,
  options: RegistryDestinationOptions = {},
): Promise<RegistryDestination> {
  const { repository, tag } = reference;
  requireNoDigest(reference);
  const client = registryClient(reference, options);
  const { mountFrom, signal } = options;
  if (mountFrom !== undefined) checkReference(mountFrom);
  const chunkSize =
    options.chunkSize === undefined ? undefined : atLeast("chunkSize", options.chunkSize, 1);
  const scopes = [`repository:${repository}:pull,push`];
  const uploads = new Set<Upload>();
  const manifests = new Map<string, Written>();

  async function contains({ digest, size }: Descriptor): Promise<boolean> {
    parseDigest(digest);
    return isBlob(client, digest, size, scopes, signal);
  }

  /** Returns the manifest that a tag names, or `undefined`. */
  async function tagged(name: string, patience: AbortSignal | undefined) {
    return getManifest(client, name, "IMAGE_NOT_FOUND", patience).catch((error: unknown) => {
      if (isOcicryptError(error, "IMAGE_NOT_FOUND")) return undefined;
      throw error;
    });
  }

  /** Whether a tag names a manifest; `undefined` if the registry does not say. */
  async function isTagged(name: string, { bytes }: Written): Promise<boolean | undefined> {
    try {
      const there = await tagged(name, AbortSignal.timeout(CONFIRM_TIMEOUT));
      return there !== undefined && Buffer.compare(there.bytes, bytes) === 0;
    } catch {
      return undefined;
    }
  }

  /**
   * Returns the entity tag, if any, of the image that a tag names; fails if the tag names another
   * image now.
   */
  async function requireUnmoved(
    name: string,
    { digest }: Descriptor,
    patience: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const there = await tagged(name, patience);
    if (there?.digest === digest) return there.etag;
    const now = there === undefined ? "names nothing" : `names ${there.digest}`;
    const message = `the tag ${name} ${now}, not ${digest}, on which this edit is based`;
    throw new OcicryptError("DESTINATION_CHANGED", message);
  }

  return {
    place: placeOf(reference),
    keepsBlobs: true,
    beside: (name) => registryDestination({ ...reference, tag: name }, options),
    contains,

    async exposes({ digest }) {
      parseDigest(digest);
      const url = await client.url(`blobs/${digest}`);
      const headers = { range: "bytes=0-0", "accept-encoding": "identity" };
      const request: RegistryRequest = { method: "GET", url, headers, scopes, signal };
      const answer = await client.request(request, 1);
      if (answer.status === 404) return false;
      // Empty content has no range.
      if (isSuccess(answer.status) || answer.status === 416) return true;
      throw failure(request, answer);
    },

    async mount(descriptor) {
      const from = mountFrom?.repository;
      if (from === undefined || mountFrom?.host !== reference.host || from === repository) {
        return false;
      }
      const url = await client.url("blobs/uploads/");
      url.search = new URLSearchParams({ mount: descriptor.digest, from }).toString();
      const request: RegistryRequest = {
        method: "POST",
        url,
        scopes: [...scopes, `repository:${from}:pull`],
        signal,
      };
      const answer = await client.request(request).catch((error: unknown) => {
        // A user who may not read the other repository may still write this one.
        if (!isOcicryptError(error) || error.code === "REGISTRY_UNREACHABLE") throw error;
        return undefined;
      });
      if (answer?.status === 201) return contains(descriptor);
      // The registry has started an upload instead, which is cancelled.
      const upload = client.resolve(answer?.headers.get("location") ?? null, url);
      if (answer?.status === 202 && upload !== undefined) {
        await client.requestOnce({ method: "DELETE", url: upload, scopes }).catch(() => undefined);
      }
      return false;
    },

    async write(content, describe, { signal: own } = {}) {
      const either = anySignal(signal, own);
      const upload = await openUpload(client, {
        ...{ host: reference.host, chunkSize, scopes, signal: either },
      });
      uploads.add(upload);
      try {
        await upload.send(content);
        const { digest } = await describe();
        parseDigest(digest);
        await upload.finish(digest);
      } catch (error) {
        await upload.cancel();
        throw error;
      } finally {
        uploads.delete(upload);
      }
    },

    async writeManifest(bytes, { digest, mediaType }) {
      parseDigest(digest);
      await putManifest(client, digest, { mediaType, bytes }, scopes, signal);
      manifests.set(digest, { mediaType, bytes });
    },

    async commit({ digest }, { signal: own = signal, replaces } = {}) {
      const manifest = manifests.get(digest);
      if (manifest === undefined) throw new TypeError("the manifest of the image was not written");
      // Without a tag, the image is already complete.
      if (tag === undefined) return;
      // As late as possible: if two edits pass this check at the same time, the later request wins,
      // unless the registry compares the entity tag.
      const etag = replaces && (await requireUnmoved(tag, replaces, own));
      try {
        await putManifest(client, tag, manifest, scopes, own, etag);
      } catch (error) {
        // The request may have succeeded although the response was lost.
        const isDenied = isOcicryptError(error, "REGISTRY_DENIED");
        const isThere = isDenied ? false : await isTagged(tag, manifest);
        if (isThere === true) return;
        // Harbor answers in the same way to any change of an immutable tag.
        if (replaces && isOcicryptError(error, "DESTINATION_CHANGED")) {
          await requireUnmoved(tag, replaces, own);
          throw new OcicryptError("REGISTRY_FAILED", error.message);
        }
        const isAnswered = isOcicryptError(error) && error.code !== "REGISTRY_UNREACHABLE";
        if (isThere === false || isAnswered) throw error;
        const message = `it is unknown whether the tag ${tag} names the new image or the former image`;
        throw new OcicryptError("REGISTRY_UNREACHABLE", message, { cause: error });
      }
    },

    async discard() {
      await Promise.all([...uploads].map((upload) => upload.cancel()));
    },
  };
}
