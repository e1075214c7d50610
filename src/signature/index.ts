/**
 * Verifies signatures of images and blobs.
 *
 * @module ocicrypt/signature
 */
export { verifyBlob } from "./blob.js";
export { signedSource } from "./signed-source.js";

export type { VerifyBlobOptions } from "./blob.js";
export type { VerificationKey } from "./signed-source.js";
export type { ByteSource } from "../io/source.js";
export type { Descriptor, Platform } from "../spec/descriptor.js";
export type { ImagePlace, ImageSource, StoreOptions } from "../store/types.js";
