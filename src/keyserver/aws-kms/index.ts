/**
 * AWS KMS: a symmetric key wraps the keys of layers. The wrapped key is JSON in the annotation
 * `…enc.keys.provider.aws-kms`. Needs the package `@aws-sdk/client-kms`.
 *
 * @module ocicrypt/aws-kms
 */
export * as awsKms from "./aws-kms.js";
export type { AwsKmsKeyOptions, AwsKmsRecipientOptions } from "./aws-kms.js";
export type { AwsKmsOptions } from "./service.js";
export type { EncryptionContext } from "./wrapped.js";
export type { Key, Recipient } from "../../keywrap/types.js";
