import { nextTurn } from "#engine/turn";
import { OcicryptError, shown } from "../errors.js";
import type { Key } from "../keywrap/types.js";
import {
  encryptionSchemes,
  isEncryptedDescriptor,
  type DescriptorLike,
} from "../spec/descriptor.js";
import { isAmbiguousMediaType } from "../spec/media-types.js";
import { abortable } from "../io/abort.js";
import { newAttempts } from "../keywrap/unwrapping.js";
import { parsePrivateOptions, wipePrivateOptions, type PrivateOptions } from "../cipher/options.js";
import { readWrappedKeys } from "./wrapped-keys.js";

/** The key that opened a layer, and the wrapped key that it opened. */
export interface OpenedKey {
  scheme: string;
  /** The position of the wrapped key in its scheme's list, from 0. */
  index: number;
  key: Key;
}

export interface UnwrapResult extends OpenedKey {
  /** The digest that the sender recorded for the layer before encryption; may be empty. */
  recordedDigest: string;
}

export interface UnwrapOptions {
  keys: readonly Key[];
  signal?: AbortSignal | undefined;
}

/**
 * Finds the key that opens a layer, without needing the blob. Returns no key material.
 *
 * @throws {@link OcicryptError} as {@link unwrapPrivateOptions}
 */
export async function unwrapOnly(
  descriptor: DescriptorLike,
  options: UnwrapOptions,
): Promise<UnwrapResult> {
  const { opening, privateOptions } = await unwrapPrivateOptions(descriptor, options);
  const recordedDigest = privateOptions.digest;
  wipePrivateOptions(privateOptions);
  return { ...opening, recordedDigest };
}

/** @throws {@link OcicryptError} `NOT_ENCRYPTED`, `DESCRIPTOR_INVALID` */
export function requireEncrypted(descriptor: DescriptorLike): void {
  if (isAmbiguousMediaType(descriptor.mediaType)) {
    throw new OcicryptError(
      "DESCRIPTOR_INVALID",
      `only some readers treat the media type ${shown(descriptor.mediaType)} as encrypted`,
    );
  }
  if (!isEncryptedDescriptor(descriptor)) {
    throw new OcicryptError(
      "NOT_ENCRYPTED",
      `a blob of type ${shown(descriptor.mediaType)} is not encrypted`,
    );
  }
}

/**
 * Returns the secret of a layer, with the first key that opens it. Every key is tried on every
 * wrapped key of its scheme. Failures are ignored as long as another attempt succeeds.
 *
 * @throws {@link OcicryptError} `NOT_ENCRYPTED`, `DESCRIPTOR_INVALID`; `NO_KEYS`; `NO_MATCHING_KEY`, with an
 *   `AggregateError` of the failures as its cause; the first error if every attempt failed with an
 *   error of this library; the errors of `parsePrivateOptions` if the unwrapped bytes are not valid
 */
export async function unwrapPrivateOptions(
  descriptor: DescriptorLike,
  { keys, signal }: UnwrapOptions,
): Promise<{ opening: OpenedKey; privateOptions: PrivateOptions }> {
  requireEncrypted(descriptor);
  if (keys.length === 0) throw new OcicryptError("NO_KEYS", "no key was given");

  const errors: unknown[] = [];
  let unusable: OcicryptError | undefined;
  let isForeign = false;
  let tried = 0;
  const attempts = new Map(keys.map((key) => [key, newAttempts()]));
  const schemes = [...new Set(keys.map((key) => key.scheme))];
  for (const wrapped of readWrappedKeys(descriptor, schemes)) {
    if (wrapped.error !== undefined) {
      errors.push(wrapped.error);
      continue;
    }
    for (const key of keys.filter(({ scheme }) => scheme === wrapped.scheme)) {
      // A key may return at once, a thousand times.
      if (tried++ > 0) await nextTurn();
      signal?.throwIfAborted();
      let secret: Uint8Array | null;
      try {
        secret = await abortable(
          key.unwrap(wrapped.bytes, { signal, attempts: attempts.get(key) }),
          signal,
        );
        requireBytes(secret);
      } catch (error) {
        signal?.throwIfAborted();
        const { redactError } = await import("../text/redact.js");
        errors.push(redactError(error, []));
        continue;
      }
      if (secret === null) {
        isForeign = true;
        continue;
      }
      try {
        const privateOptions = parsePrivateOptions(secret);
        const { scheme, index } = wrapped;
        return { opening: { scheme, index, key }, privateOptions };
      } catch (error) {
        if (!(error instanceof OcicryptError)) throw error;
        unusable ??= error;
      } finally {
        secret.fill(0);
      }
    }
  }
  if (unusable !== undefined) throw unusable;
  if (!isForeign && errors[0] instanceof OcicryptError) throw errors[0];
  throw noMatch(descriptor, keys, errors);
}

/** Keys may be the caller's own code. */
function requireBytes(secret: unknown): void {
  if (secret === null || secret instanceof Uint8Array) return;
  throw new TypeError("a key must unwrap to Uint8Array or null");
}

function shownSchemes(schemes: readonly string[]): string {
  const names = schemes.slice(0, 10).map((scheme) => scheme.slice(0, 100));
  return [...names, ...(schemes.length > 10 ? ["…"] : [])].join(", ");
}

function noMatch(
  descriptor: DescriptorLike,
  keys: readonly Key[],
  errors: readonly unknown[],
): OcicryptError {
  const { digest } = descriptor;
  const layer = digest === undefined ? "the layer" : `the layer ${shown(digest)}`;
  const present = encryptionSchemes(descriptor);
  if (present.length === 0) {
    return new OcicryptError("ANNOTATION_EMPTY", `${layer} has no wrapped key`);
  }
  // One file can be a key for several schemes.
  const count = new Set(keys.map((key) => key.label ?? key)).size;
  const given =
    count === 1 ? "the given key does not open" : `none of the ${String(count)} keys opens`;
  const message = `${given} ${layer}, whose recipients use ${shownSchemes(present)}`;
  const cause = errors.length === 0 ? undefined : new AggregateError(errors, "the failed attempts");
  return new OcicryptError("NO_MATCHING_KEY", message, cause && { cause });
}
