/**
 * Keys and recipients of all schemes from key files of any form: `keysFromFiles`,
 * `recipientsFromFiles`, `keysFromDirectory`, `recognizeKeyFile` and `recipientKeyIds`; and
 * `recipientsFromText` and `keysFromText`, which read the forms of the command.
 *
 * In a browser, there are JWE, PKCS#7 and OpenPGP, and files are passed as bytes.
 *
 * @module ocicrypt/keys
 */
export { keysFromFiles, type KeyFile, type KeysFromFilesOptions } from "./from-files.js";
export {
  recipientsFromFiles,
  type RecipientFile,
  type RecipientsFromFilesOptions,
} from "./recipients-from-files.js";
export { keysFromDirectory, type KeysFromDirectoryOptions } from "./from-directory.js";
export {
  keysFromText,
  recipientsFromText,
  type KeysFromTextOptions,
  type RecipientsFromTextOptions,
  type TextOptions,
} from "./from-text.js";
export { recognizeKeyFile, type KeyFileForm } from "./recognise.js";
export { recipientKeyIds } from "./recognise.js";
export type { Key, Recipient } from "../types.js";
