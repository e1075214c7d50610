import type { Descriptor } from "../spec/descriptor.js";
import { isDocumentType, isManifestType } from "../spec/manifest.js";
import type { ImageSource } from "../store/types.js";
import { isOcicryptError, OcicryptError } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
import { downloadBlob, isBlob } from "./blob.js";
import { registryClient } from "./client.js";
import { getManifest, type StoredManifest } from "./manifest.js";
import type { RegistryOptions } from "./options.js";
import { readReferrers } from "./lists.js";
import { placeOf, showReference, type RegistryReference } from "./reference.js";

/**
 * Opens an image in a registry for reading. The reference names it by its digest, or by its tag,
 * which is looked up when the image is resolved. Interrupted downloads are resumed.
 *
 * Its functions reject with {@link OcicryptError} `REFERENCE_INVALID` for a reference without tag
 * and digest, `IMAGE_NOT_FOUND`, `BLOB_NOT_FOUND`, `MANIFEST_TOO_LARGE`, `BLOB_DIGEST_MISMATCH` for
 * a manifest that does not match its digest, `REGISTRY_UNREACHABLE`, `REGISTRY_DENIED`,
 * `REGISTRY_FAILED`, `REGISTRY_INVALID_RESPONSE`, `CREDENTIALS_INVALID`.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 * @throws {TypeError} {RangeError} for an invalid option
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
          // The media type does not decide, because a SOCI index is a blob.
          const isAbsent = isOcicryptError(error, "BLOB_NOT_FOUND");
          if (!isAbsent || !isManifestType(descriptor.mediaType)) throw error;
          yield await readManifest(descriptor, signal);
        }
      }
    },
    contains: ({ digest, size }, { signal } = {}) => {
      parseDigest(digest);
      return isBlob(client, digest, size, undefined, signal);
    },
    async find(tag, { signal } = {}) {
      try {
        const { mediaType, digest, bytes } = await getManifest(
          client,
          tag,
          "IMAGE_NOT_FOUND",
          signal,
        );
        return { mediaType, digest, size: bytes.byteLength };
      } catch (error) {
        if (isOcicryptError(error, "IMAGE_NOT_FOUND")) return undefined;
        throw error;
      }
    },
    referrers: (digest, { signal } = {}) => readReferrers(client, digest, signal),
  };
}
