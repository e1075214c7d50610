import { OcicryptError, shown } from "../errors.js";
import { type DescriptorLike, encryptionSchemes, KEYS_PREFIX } from "../spec/descriptor.js";
import { decodeBase64, encodeBase64 } from "../spec/base64.js";
import { MAX_ANNOTATION_LENGTH, MAX_WRAPPED_KEYS } from "../spec/limits.js";

/**
 * One element of a scheme's list, with its position: the wrapped key, or the error if it cannot be
 * read.
 */
export type WrappedKey = { scheme: string; index: number } & (
  { bytes: Uint8Array; error?: undefined } | { bytes?: undefined; error: OcicryptError }
);

/**
 * Returns the wrapped keys of a descriptor. An element that cannot be read is listed with its
 * error, and the elements after it are read too; Go and Rust stop at it.
 */
export function readWrappedKeys(
  descriptor: DescriptorLike,
  schemes: readonly string[] = encryptionSchemes(descriptor),
): WrappedKey[] {
  return schemes.flatMap((scheme) => readScheme(descriptor, scheme));
}

function readScheme(descriptor: DescriptorLike, scheme: string): WrappedKey[] {
  const list: unknown = descriptor.annotations?.[KEYS_PREFIX + scheme];
  if (list === undefined) return [];
  if (typeof list !== "string") return [notText(scheme)];
  if (list.length > MAX_ANNOTATION_LENGTH) return [tooLarge(scheme)];
  const elements = list.split(",", MAX_WRAPPED_KEYS + 1);
  if (elements.length > MAX_WRAPPED_KEYS) return [tooLarge(scheme)];
  return elements.map((element, index) => {
    if (element === "") {
      const what = `element ${String(index)} of the ${shown(scheme)} keys is empty`;
      return { scheme, index, error: new OcicryptError("ANNOTATION_EMPTY", what) };
    }
    const bytes = decodeBase64(element);
    if (bytes === null || bytes.byteLength === 0) {
      const what = `element ${String(index)} of the ${shown(scheme)} keys is not base64`;
      return { scheme, index, error: new OcicryptError("ANNOTATION_BASE64", what) };
    }
    return { scheme, index, bytes };
  });
}

function notText(scheme: string): WrappedKey {
  const what = `the list of ${shown(scheme)} keys is not a string`;
  return { scheme, index: 0, error: new OcicryptError("DESCRIPTOR_INVALID", what) };
}

function tooLarge(scheme: string): WrappedKey {
  const what = `the list of ${shown(scheme)} keys is too large`;
  return { scheme, index: 0, error: new OcicryptError("ANNOTATION_TOO_LARGE", what) };
}

/**
 * Returns the annotations with more wrapped keys appended. Nothing else changes: wrapped keys of
 * unknown schemes stay too.
 *
 * @throws {@link OcicryptError} `ANNOTATION_TOO_LARGE`
 */
export function appendWrappedKeys(
  annotations: Readonly<Record<string, string>>,
  wrapped: readonly { scheme: string; bytes: Uint8Array }[],
): Record<string, string> {
  const result = new Map(Object.entries(annotations));
  const lists = new Map<string, LongerList>();
  for (const { scheme, bytes } of wrapped) {
    const list = lists.get(scheme) ?? longerList(result.get(KEYS_PREFIX + scheme));
    lists.set(scheme, list);
    const element = encodeBase64(bytes);
    list.parts.push(element);
    list.count++;
    list.length += element.length + 1;
    if (list.count > MAX_WRAPPED_KEYS || list.length > MAX_ANNOTATION_LENGTH) {
      throw new OcicryptError(
        "ANNOTATION_TOO_LARGE",
        `the list of ${scheme} keys would become too large`,
      );
    }
  }
  for (const [scheme, { parts }] of lists) result.set(KEYS_PREFIX + scheme, parts.join(","));
  return Object.fromEntries(result);
}

/** A list that grows, and is joined once at the end. */
interface LongerList {
  parts: string[];
  /** The number of its elements. */
  count: number;
  /** The length of its text. */
  length: number;
}

function longerList(list: string | undefined): LongerList {
  if (list === undefined || list === "") return { parts: [], count: 0, length: -1 };
  const count = list.split(",", MAX_WRAPPED_KEYS + 1).length;
  return { parts: [list], count, length: list.length };
}
