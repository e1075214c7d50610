/**
 * Encrypts and decrypts single layers as streams, and changes their recipients.
 *
 * @module ocicrypt
 */
export { encryptLayer, encryptLayerBytes } from "./layer/encrypt.js";
export { decryptLayer, decryptLayerBytes, HELD_BACK_BYTES } from "./layer/decrypt.js";
export { unwrapOnly } from "./layer/unwrap.js";
export {
  addRecipients,
  explainKey,
  listRecipients,
  removeRecipients,
  replaceRecipients,
} from "./layer/recipients.js";
export { isOcicryptError, OcicryptError } from "./errors.js";
export { encryptionSchemes, isEncryptedDescriptor } from "./spec/descriptor.js";
export { encryptedMediaType, isEncryptedMediaType, plainMediaType } from "./spec/media-types.js";

export type { EncryptedLayer, EncryptedLayerBytes, EncryptLayerOptions } from "./layer/encrypt.js";
export type { DecryptedLayer, DecryptedLayerBytes, DecryptLayerOptions } from "./layer/decrypt.js";
export type { OpenedKey, UnwrapOptions, UnwrapResult } from "./layer/unwrap.js";
export type {
  AddRecipientsOptions,
  ExplainKeyOptions,
  KeyReport,
  RecipientReport,
  RecipientSelector,
  RemoveRecipientsOptions,
} from "./layer/recipients.js";
export type { ErrorCode } from "./errors.js";
export type { Key, Recipient, RecipientInfo, WrapOptions } from "./keywrap/types.js";
export type { Descriptor, DescriptorLike, Platform } from "./spec/descriptor.js";
export type { Bytes, ByteSource } from "./io/source.js";
