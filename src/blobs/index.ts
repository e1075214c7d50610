/**
 * Reads images from `Blob` and `File` objects, such as archives and directories that a user chose or
 * dropped in a page, and writes archives as a `Blob`.
 *
 * @module ocicrypt/blobs
 */
export {
  blobDestination,
  type BlobDestination,
  type BlobDestinationOptions,
} from "./destination.js";
export { openBlobs, type BlobFile, type BlobLayout, type OpenBlobsOptions } from "./layout.js";

export type { NamedImage } from "../store/layout/images.js";
export type { ImageDestination, ImageSource } from "../store/types.js";
