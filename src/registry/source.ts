import { isDocumentType } from "../spec/manifest.js";
import type { ImageSource } from "../store/types.js";
import { registryClient } from "./client.js";
import { downloadBlob } from "./download.js";
import { OcicryptError } from "../errors.js";
import { getManifest, type StoredManifest } from "./manifest.js";
import type { RegistryOptions } from "./options.js";
import type { RegistryReference } from "./reference.js";

/**
 * An image in a registry. Without a digest in the reference it is what the tag names when it is
 * resolved, without a tag too it is `latest`. Downloads that break off go on where they were.
 *
 * Its functions reject with {@link OcicryptError} `IMAGE_NOT_FOUND`, `BLOB_NOT_FOUND`,
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
  const { tag = "latest", digest } = reference;
  let root: StoredManifest | undefined;
  return {
    async resolve({ signal } = {}) {
      root = await getManifest(client, digest ?? tag, "IMAGE_NOT_FOUND", signal);
      return { mediaType: root.mediaType, digest: root.digest, size: root.bytes.byteLength };
    },
    async *read(descriptor, { signal } = {}) {
      if (descriptor.digest === root?.digest) {
        yield root.bytes;
      } else if (isDocumentType(descriptor.mediaType)) {
        const name = descriptor.digest;
        const manifest = await getManifest(client, name, "BLOB_NOT_FOUND", signal);
        if (manifest.mediaType !== descriptor.mediaType) {
          const message = `the registry takes ${name} for another type than its descriptor does`;
          throw new OcicryptError("REGISTRY_INVALID_RESPONSE", message);
        }
        yield manifest.bytes;
      } else {
        yield* downloadBlob(client, descriptor, signal);
      }
    },
  };
}
