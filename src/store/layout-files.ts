import { join } from "node:path";
import { OcicryptError } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
import { ANY, asObject, parseJson, struct } from "../text/json.js";
import { readSmallFile } from "../io/files.js";

const MAX_MARK_SIZE = 4096;

/** Reads a small file of a layout by its name in it; `undefined` when it is not there. */
export type ReadLayoutFile = (name: string, limit: number) => Promise<Uint8Array | undefined>;

/** The name of a blob in a layout. */
export function blobName(digest: string): string {
  const { algorithm, hex } = parseDigest(digest);
  return `blobs/${algorithm}/${hex}`;
}

/** Where a layout in a directory keeps a blob. */
export function blobPath(layout: string, digest: string): string {
  return join(layout, blobName(digest));
}

/** Reads the small files of a layout in a directory. */
export function readIn(layout: string): ReadLayoutFile {
  return (name, limit) => readSmallFile(join(layout, name), limit);
}

/**
 * Checks the mark that makes a directory or an archive an OCI layout.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND` without one, `LAYOUT_INVALID` for one of another
 *   version
 */
export async function requireLayout(
  path: string,
  read: ReadLayoutFile = readIn(path),
): Promise<void> {
  const mark = await read("oci-layout", MAX_MARK_SIZE);
  if (mark === undefined) {
    throw new OcicryptError("IMAGE_NOT_FOUND", `there is no OCI layout at ${path}`);
  }
  if (versionOf(path, mark) !== "1.0.0") {
    throw new OcicryptError("LAYOUT_INVALID", `${path} is not an OCI layout of version 1.0.0`);
  }
}

function versionOf(path: string, mark: Uint8Array): unknown {
  const refuse = (why: string): OcicryptError =>
    new OcicryptError("LAYOUT_INVALID", `the file oci-layout of ${path} cannot be used: ${why}`);
  const shape = struct({ imageLayoutVersion: ANY });
  return asObject(parseJson(mark, { shape, maxSize: MAX_MARK_SIZE, refuse }))?.imageLayoutVersion;
}
