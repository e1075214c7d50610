/**
 * Reads images from `Blob` and `File` objects: archives and directories that a user chose or dropped
 * in a page.
 *
 * @module ocicrypt/blobs
 */
export { openBlobs, type BlobFile, type BlobLayout, type OpenBlobsOptions } from "./layout.js";

export type { NamedImage } from "../store/layout/images.js";
export type { ImageSource } from "../store/types.js";
