/** Whole images, at `ocicrypt/image`. */
export { lintConfig } from "./config-lint.js";
export { decryptImage } from "./decrypt.js";
export { encryptImage } from "./encrypt.js";
export { inspectImage } from "./inspect.js";
export { parseLayerRange } from "./layer-range.js";
export {
  addImageRecipients,
  listImageRecipients,
  removeImageRecipients,
  replaceImageRecipients,
} from "./recipients.js";
export { rotateImage } from "./rotate.js";

export type { BaseMatch } from "./base.js";
export type { ConfigFinding, ConfigReport, SecretKind } from "./config-lint.js";
export type { DecryptedLayerResult, DecryptImageOptions, DecryptImageResult } from "./decrypt.js";
export type { DiffIdCheck } from "./diff-id.js";
export type {
  BaseResult,
  EncryptedLayerResult,
  EncryptImageOptions,
  EncryptImageResult,
} from "./encrypt.js";
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
export type {
  AddImageRecipientsOptions,
  ImageRecipients,
  LayerRecipients,
  ListImageRecipientsOptions,
  RemoveImageRecipientsOptions,
} from "./recipients.js";
export type {
  EditRecipientsOptions,
  EditRecipientsResult,
  LayerRecipientsResult,
} from "./recipients-edit.js";
export type { LayerContent, LayerResult } from "./report.js";
export type { RotateImageOptions } from "./rotate.js";
export type { DecryptPolicy } from "./policy.js";
export type { Reuse } from "./reuse.js";
export type { LayerRange } from "./layer-range.js";
export type { Selection } from "./select.js";
