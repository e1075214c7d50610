import { resolve } from "node:path";
import { OcicryptError } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
import type { ImagePlace } from "./types.js";

/** The place of an image in the file system. */
export interface LayoutReference {
  /** Directory of the OCI layout, or file of the archive. */
  path: string;
  /** The image's name in the layout's or archive's `index.json`. */
  tag?: string;
  digest?: string;
}

/**
 * Parses `oci:DIR[:TAG][@DIGEST]` as skopeo does: the directory ends at the first colon.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 */
export function parseLayoutReference(text: string): LayoutReference {
  return parsePath(text, "oci");
}

/**
 * Parses `oci-archive:FILE[:TAG][@DIGEST]` as skopeo does: the file ends at the first colon.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 */
export function parseArchiveReference(text: string): LayoutReference {
  return parsePath(text, "oci-archive");
}

/** @throws {@link OcicryptError} `REFERENCE_INVALID` for a destination that is named by a digest */
export function requireNoDigest({ digest }: { digest?: string | undefined }): void {
  if (digest === undefined) return;
  const message =
    "a destination cannot be named by a digest, because its content decides the digest";
  throw new OcicryptError("REFERENCE_INVALID", message);
}

/** The place of an image in a layout or archive. */
export function placeOf(
  { path, tag, digest }: LayoutReference,
  transport: "oci" | "oci-archive",
): ImagePlace {
  const name = digest === undefined ? (tag ?? "") : `@${digest}`;
  return { store: `${transport}:${resolve(path)}`, name };
}

function parsePath(text: string, expected: "oci" | "oci-archive"): LayoutReference {
  const transport = /^([a-z-]+):/.exec(text)?.[1];
  if (transport !== expected) {
    const what = transport === undefined || transport.length === 1 ? "no transport" : transport;
    const forms = "oci:DIR:TAG, oci-archive:FILE:TAG or docker://HOST/REPOSITORY:TAG";
    // The text after the colon can be the password of a key whose -k is missing.
    throw invalid(text.replace(/:.*/s, ":…"), `it names ${what}; images are written as ${forms}`);
  }
  let rest = text.slice(expected.length + 1);
  const reference: LayoutReference = { path: "" };
  const digest = /@(sha(?:256|512):[^@]*)$/.exec(rest);
  if (digest?.[1] !== undefined) {
    reference.digest = checkDigest(text, digest[1]);
    rest = rest.slice(0, digest.index);
  }
  const drive = process.platform === "win32" && /^[A-Za-z]:[\\/]/.test(rest) ? 2 : 0;
  const colon = rest.indexOf(":", drive);
  if (colon >= 0) {
    const tag = rest.slice(colon + 1);
    // https://github.com/opencontainers/image-spec/blob/main/annotations.md, ref.name
    if (!/^[A-Za-z0-9][\w.:@/+-]{0,254}$/.test(tag)) throw invalid(text, "its tag is not valid");
    reference.tag = tag;
    rest = rest.slice(0, colon);
  }
  if (rest === "") throw invalid(text, `it names no ${expected === "oci" ? "directory" : "file"}`);
  return { ...reference, path: rest };
}

function checkDigest(text: string, digest: string): string {
  try {
    parseDigest(digest);
    return digest;
  } catch {
    throw invalid(text, "its digest is not valid");
  }
}

function invalid(text: string, why: string): OcicryptError {
  const shown = JSON.stringify(text.slice(0, 200));
  return new OcicryptError("REFERENCE_INVALID", `${shown} is not an image: ${why}`);
}
