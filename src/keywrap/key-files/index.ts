/**
 * Keys of all schemes from key files of any form: `keysFromFiles`, `keysFromDirectory`,
 * `recognizeKeyFile` and `recipientKeyIds`.
 *
 * @module ocicrypt/keys
 */
export { keysFromFiles, type KeyFile, type KeysFromFilesOptions } from "./from-files.js";
export { keysFromDirectory, type KeysFromDirectoryOptions } from "./from-directory.js";
export { recognizeKeyFile, type KeyFileForm } from "./recognise.js";
export { recipientKeyIds } from "./recognise.js";
export type { Key } from "../types.js";
