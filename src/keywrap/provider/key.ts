import type { Key } from "../types.js";
import { prepare, type ProviderOptions } from "./options.js";

export interface ProviderKeyOptions extends ProviderOptions {
  /** How to call the key in reports; by default `provider:NAME`. */
  label?: string | undefined;
}

/**
 * A key that a provider has. Other than with Go, a provider is asked only when it is given as a
 * key, and is not told any other key or password.
 *
 * Unwrapping fails with `PROVIDER_NOT_FOUND`, `PROVIDER_FAILED`, `PROVIDER_TIMEOUT`,
 * `PROVIDER_INVALID_RESPONSE` or `PACKAGE_MISSING`. A command or a server has no way to say that a
 * key is not its own; a provider in code has.
 *
 * @param name the provider's name: in the annotation, and in the configuration
 * @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID`, `PROVIDER_NOT_CONFIGURED`
 * @throws {TypeError} for a name with white space, a comma or a colon in it
 * @throws {RangeError} for a timeout that is not a positive number
 */
export function key(name: string, options: ProviderKeyOptions = {}): Key {
  const ask = prepare(name, options);
  const { label = `provider:${name}` } = options;
  return {
    scheme: `provider.${name}`,
    label,
    unwrap: (wrapped, { signal } = {}) => ask("unwrapKey", wrapped, signal),
    explain: () => `key provider ${JSON.stringify(name)} says that it is not for its keys`,
  };
}
