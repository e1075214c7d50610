import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { OcicryptError } from "../../errors.js";
import { readSmallFile } from "../../io/files.js";
import { single } from "../../io/source.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { parseDigest } from "../../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { isDocumentType, mediaTypeOf } from "../../spec/manifest.js";
import { readBlobFile } from "./source.js";
import type { ImageSource } from "../types.js";

/**
 * Returns a source that reads an image from a directory that `skopeo copy … dir:DIR` wrote: the
 * manifest or index is in `manifest.json`, other manifests are in `HEX.manifest.json`, and each
 * blob is in a file that is named by its digest
 * (https://github.com/containers/image/blob/main/directory/directory_transport.go).
 *
 * Its functions reject with {@link OcicryptError} `IMAGE_NOT_FOUND`, `BLOB_NOT_FOUND`,
 * `MANIFEST_INVALID`, `LAYOUT_INVALID`, `SOURCE_UNREADABLE`.
 */
export function directorySource(path: string): ImageSource {
  let root: { descriptor: Descriptor; bytes: Uint8Array } | undefined;
  return {
    place: { store: `dir:${resolve(path)}`, name: "" },
    async resolve() {
      const bytes = await readSmallFile(join(path, "manifest.json"), MAX_MANIFEST_SIZE);
      if (bytes === undefined) {
        const message = `${path} has no manifest.json, which skopeo writes; layouts are written oci:DIR`;
        throw new OcicryptError("IMAGE_NOT_FOUND", message);
      }
      const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
      const descriptor = { mediaType: mediaTypeOf(bytes), digest, size: bytes.byteLength };
      root = { descriptor, bytes };
      return descriptor;
    },
    async *read({ digest, mediaType }) {
      if (digest === root?.descriptor.digest) {
        yield* single(root.bytes);
        return;
      }
      const { algorithm, hex } = parseDigest(digest);
      const name = algorithm === "sha256" ? hex : `${algorithm}-${hex}`;
      const file = isDocumentType(mediaType) ? `${name}.manifest.json` : name;
      yield* readBlobFile(join(path, file), path, digest);
    },
  };
}
