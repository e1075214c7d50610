/**
 * Encrypts, decrypts and inspects whole images, and changes their recipients.
 *
 * @module ocicrypt/image
 */
export { pullFiles, pushFiles } from "./artifact.js";
export { auditImage } from "./audit.js";
export { lintConfig } from "./features/config-lint.js";
export { copyReferrers, type CopyReferrersOptions } from "./features/kept-referrers.js";
export { decryptImage } from "./decrypt.js";
export { encryptImage } from "./encrypt.js";
export { inspectImage } from "./inspect.js";
export { parseLayerRange } from "./manifests/select-layers.js";
export {
  addImageRecipients,
  listImageRecipients,
  removeImageRecipients,
  replaceImageRecipients,
} from "./recipients.js";
export { rotateImage } from "./rotate.js";
export { findEncrypted, findImageFor, findRotated } from "./unchanged.js";

export type { FilesResult, PullFilesOptions, PushedFile, PushFilesOptions } from "./artifact.js";
export type { AuditedRecipient, AuditImageOptions, ImageAudit, ManifestAudit } from "./audit.js";
export type { BaseMatch, BaseResult } from "./features/base-image.js";
export type { ConfigFinding, ConfigReport, SecretKind } from "./features/config-lint.js";
export type { DecryptedLayerResult, DecryptImageOptions, DecryptImageResult } from "./decrypt.js";
export type { DiffIdCheck } from "./features/diff-id.js";
export type { EncryptedLayerResult, EncryptImageOptions, EncryptImageResult } from "./encrypt.js";
export type {
  ImageReport,
  InspectImageOptions,
  LayerKeyReport,
  LayerReport,
  ManifestReport,
  MissingReport,
  ReaderReport,
} from "./inspect.js";
export type { BindingState } from "./features/binding.js";
export type { CompatProfile } from "../keywrap/compat.js";
export type { BlobAction, ImageProgress } from "./engine/copy-blobs.js";
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
} from "./edit-recipients.js";
export type { LayerContent, LayerResult } from "./operation.js";
export type { RotateImageOptions } from "./rotate.js";
export type { FindImageOptions } from "./unchanged.js";
export type { DecryptPolicy } from "./features/decrypt-policy.js";
export type { Reuse } from "./features/reuse.js";
export type { LayerRange, LayerSelection } from "./manifests/select-layers.js";
