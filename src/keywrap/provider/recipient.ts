import { OcicryptError } from "../../errors.js";
import type { Recipient } from "../types.js";
import { prepare, type ProviderOptions } from "./options.js";

/**
 * A recipient whose key a provider has: the provider wraps the layer's key, and only a provider
 * that shares its key can unwrap it.
 *
 * Wrapping fails with `PROVIDER_NOT_FOUND`, `PROVIDER_FAILED`, `PROVIDER_TIMEOUT`,
 * `PROVIDER_INVALID_RESPONSE` or `PACKAGE_MISSING`.
 *
 * @param name the provider's name: in the annotation, and in the configuration
 * @throws {@link OcicryptError} `PROVIDER_CONFIG_INVALID`, `PROVIDER_NOT_CONFIGURED`
 * @throws {TypeError} for a name with white space, a comma or a colon in it
 * @throws {RangeError} for a timeout that is not a positive number
 */
export function recipient(name: string, options: ProviderOptions = {}): Recipient {
  const ask = prepare(name, options);
  return {
    scheme: `provider.${name}`,
    async wrap(privateOptions, { signal } = {}) {
      const wrapped = await ask("wrapKey", privateOptions, signal);
      if (wrapped !== null) return wrapped;
      const message = `key provider ${JSON.stringify(name)} wrapped nothing`;
      throw new OcicryptError("PROVIDER_INVALID_RESPONSE", message);
    },
  };
}
