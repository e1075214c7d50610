/**
 * Reads images from registries and writes images to them.
 *
 * @module ocicrypt/registry
 */
export { configuredCredentials, type ConfiguredCredentialsOptions } from "./credentials.js";
export { registryDestination } from "./destination.js";
export {
  checkCredentials,
  removeCredentials,
  storeCredentials,
  type StoredCredentialsOptions,
} from "./login.js";
export { parseRegistryReference } from "./reference.js";
export { listReferrers } from "./lists.js";
export { registrySource } from "./source.js";
export { listTags } from "./lists.js";

export type { CredentialRequest, CredentialSource } from "./credentials.js";
export type { Credentials, PasswordCredentials, TokenCredentials } from "./credential-helper.js";
export type { RegistryDestination } from "./destination.js";
export type { RegistryDestinationOptions, RegistryOptions, RegistryRetry } from "./options.js";
export type { RegistryReference } from "./reference.js";
export type { ReferrersOptions } from "./lists.js";
export type { TagsOptions } from "./lists.js";
export type { Fetch, FetchInit, FetchResponse } from "../http/transport.js";
