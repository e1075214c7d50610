/**
 * Key providers: `provider.recipient(name)` and `provider.key(name)` use a provider,
 * `serveKeyProvider()` offers a provider to other tools.
 *
 * @module ocicrypt/provider
 */
export * as provider from "./provider.js";
export { attestationAgent } from "./attestation-agent.js";
export { serveKeyProvider } from "./serve.js";

export type { AttestationAgentOptions } from "./attestation-agent.js";
export type { AnswerEncoding, KeyProvider, KeyProviderRequest } from "./messages.js";
export type { ProviderConfig, ProviderEntry, ProviderTls } from "./config.js";
export type { ProviderKeyOptions, ProviderOptions } from "./provider.js";
export type {
  KeyProviderServer,
  ServeCommandOptions,
  ServeGrpcOptions,
  ServeOptions,
  ServeTtrpcOptions,
  ServerTls,
} from "./serve.js";
export type { Key, Recipient } from "../types.js";
