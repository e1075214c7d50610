/** Whole images, at `ocicrypt/image`. */
export { decryptImage } from "./decrypt.js";
export { encryptImage } from "./encrypt.js";
export { inspectImage } from "./inspect.js";

export type { DecryptedLayerResult, DecryptImageOptions, DecryptImageResult } from "./decrypt.js";
export type { DiffIdCheck } from "./diff-id.js";
export type { EncryptImageOptions, EncryptImageResult } from "./encrypt.js";
export type {
  ImageReport,
  InspectImageOptions,
  LayerKeyReport,
  LayerReport,
  ManifestReport,
  ReaderReport,
} from "./inspect.js";
export type { Profile } from "../keywrap/compat.js";
export type { BlobAction, ImageProgress } from "./progress.js";
export type { LayerContent, LayerResult } from "./report.js";
export type { Selection } from "./select.js";
