import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { blobFile, digestOf, type ManifestContent } from "../support/image.js";

const PEERS = fileURLToPath(new URL("../../vectors/peers/", import.meta.url));

/** A key of `vectors/peers`. */
export const peerKey = (name: string): string => join(PEERS, "keys", name);
/** A layout of `vectors/peers`. */
export const peerLayout = (name: string): string => join(PEERS, "layouts", name);

/** Packs a layout into an archive. */
export function archiveOf(layout: string, file: string): string {
  execFileSync("tar", ["-cf", file, "-C", layout, "oci-layout", "index.json", "blobs"]);
  return file;
}

/**
 * Copies a layout, and flips one bit in the middle of a layer. With `consistent`, all digests are made
 * to fit again, as by someone who changes an image on purpose.
 */
export function damaged(
  layout: string,
  copy: string,
  { layer = 0, consistent = false }: { layer?: number; consistent?: boolean } = {},
): string {
  cpSync(layout, copy, { recursive: true });
  const index = readIndex(copy);
  const entry = index.manifests[0]!;
  const manifest = JSON.parse(
    readFileSync(blobFile(copy, entry.digest), "utf8"),
  ) as ManifestContent;
  const descriptor = manifest.layers[layer]!;
  const blob = readFileSync(blobFile(copy, descriptor.digest));
  blob[blob.byteLength >> 1]! ^= 1;
  if (!consistent) {
    writeFileSync(blobFile(copy, descriptor.digest), blob);
    return copy;
  }
  descriptor.digest = digestOf(blob);
  writeFileSync(blobFile(copy, descriptor.digest), blob);
  const text = JSON.stringify(manifest);
  Object.assign(entry, { digest: digestOf(text), size: Buffer.byteLength(text) });
  writeFileSync(blobFile(copy, entry.digest), text);
  writeFileSync(join(copy, "index.json"), JSON.stringify(index));
  return copy;
}

function readIndex(layout: string): { manifests: { digest: string; size: number }[] } {
  return JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as ReturnType<
    typeof readIndex
  >;
}
