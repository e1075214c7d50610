/**
 * Reads the files in images, encrypted or plain.
 *
 * @module ocicrypt/files
 */
export { exportImage } from "./export.js";
export { listFiles } from "./list.js";
export { readFile } from "./read.js";

export type { ImageFile, ImageFiles, ListFilesOptions } from "./list.js";
export type { ImageFilesOptions } from "./root-files.js";
export type { Device } from "./tar-header.js";
export type { LayerRange, LayerSelection } from "../image/manifests/select-layers.js";
export type { DecryptPolicy } from "../image/features/decrypt-policy.js";
