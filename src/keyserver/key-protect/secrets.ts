import type { Key } from "../../keywrap/types.js";
import { type Envelope, envelopeKey, writeEnvelope } from "../envelope.js";
import { invalidSettings } from "../settings.js";
import type { ActionContext, Instance, Wdek } from "./session.js";
import { describe, isCiphertext, isKeyName, SYSTEM, wrappedIn } from "./wrapped.js";

/** The keys that may be used, and their additional authenticated data. */
export interface KeyChoice {
  label?: string | undefined;
  keys?: readonly string[] | undefined;
  aad?: readonly string[] | undefined;
  onRotated?: ((wrapped: Uint8Array) => void) | undefined;
}

/** Creates a key that opens layers with the root keys of an instance. */
export function keyAt(service: Instance, { label = SYSTEM, onRotated, ...choice }: KeyChoice): Key {
  return envelopeKey({
    system: SYSTEM,
    label,
    mismatch: (envelope) => mismatch(envelope, service, choice),
    async unwrapDataKey(envelope, signal) {
      const { key: name, ciphertext, aad } = wrappedIn(envelope);
      const { plaintext, renewed } = await service.unwrap(name, ciphertext, { aad, signal });
      if (renewed !== undefined) onRotated?.(replaced(envelope, renewed));
      return plaintext;
    },
    describe,
    async isCurrent(envelope, signal) {
      const { key: name, ciphertext, aad, keyVersion } = wrappedIn(envelope);
      return (await service.rewrap(name, ciphertext, { aad, signal })).keyVersion === keyVersion;
    },
  });
}

/**
 * Returns the content of a standard key, or what a root key wrapped; `undefined` for a root key
 * without a ciphertext.
 */
export async function fileAt(
  service: Instance,
  name: string,
  { ciphertext, ...context }: ActionContext & { ciphertext?: string | undefined },
): Promise<Uint8Array | undefined> {
  if (!isKeyName(name)) throw invalidSettings("the key of Key Protect is neither an id nor an alias"); // prettier-ignore
  if (ciphertext === undefined) return service.content(name, context.signal);
  if (!isCiphertext(ciphertext)) throw invalidSettings("the wrapped key file is not a ciphertext of Key Protect"); // prettier-ignore
  return (await service.unwrap(name, ciphertext, context)).plaintext;
}

/** Says why a wrapped key is for another key. */
export function mismatch(
  envelope: Envelope,
  { instance }: Instance,
  { keys, aad }: KeyChoice,
): string | undefined {
  const wrapped = wrappedIn(envelope);
  if (wrapped.instance !== instance) {
    return `it is for the instance ${wrapped.instance} of Key Protect, not ${instance}`;
  }
  if (keys?.includes(wrapped.key) === false) {
    return `it is for the key ${wrapped.key} of Key Protect, not ${keys.join(" or ")}`;
  }
  if (aad !== undefined && JSON.stringify(aad) !== JSON.stringify(wrapped.aad)) {
    return "its additional authenticated data is not the required one";
  }
  return undefined;
}

/** A wrapped key whose data key was wrapped again. */
export function replaced(envelope: Envelope, { ciphertext, keyVersion }: Wdek): Uint8Array {
  return writeEnvelope({ ...envelope, ciphertext, keyVersion });
}
