import { isOcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { MAX_MANIFEST_SIZE } from "../spec/limits.js";
import { isManifestType, parseJson } from "../spec/manifest.js";
import { blobName, type ReadLayoutFile } from "./layout-files.js";
import { parseLayoutIndex } from "./layout-index.js";

/**
 * What in the `index.json` of a layout refers to a manifest by its `subject`: where tools keep the
 * signatures of images in a layout. What is no manifest refers to nothing.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`, `LAYOUT_INVALID`, `SOURCE_UNREADABLE`
 */
export async function readReferrers(
  read: ReadLayoutFile,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Descriptor[]> {
  const bytes = await read("index.json", MAX_MANIFEST_SIZE);
  const entries = bytes === undefined ? [] : parseLayoutIndex(bytes).entries;
  const distinct = new Map(entries.map(({ descriptor }) => [descriptor.digest, descriptor]));
  const found: Descriptor[] = [];
  for (const descriptor of distinct.values()) {
    signal?.throwIfAborted();
    const { subject, artifactType } = await readArtifact(read, descriptor);
    if (subject === digest) found.push({ ...descriptor, ...(artifactType && { artifactType }) });
  }
  return found;
}

interface Artifact {
  subject?: string | undefined;
  artifactType?: string | undefined;
}

async function readArtifact(read: ReadLayoutFile, descriptor: Descriptor): Promise<Artifact> {
  const { digest, mediaType, size } = descriptor;
  if (!isManifestType(mediaType) || size > MAX_MANIFEST_SIZE) return {};
  const bytes = await read(blobName(digest), MAX_MANIFEST_SIZE);
  if (bytes === undefined) return {};
  try {
    const { subject, artifactType, config } = parseJson(bytes, digest).value;
    return {
      subject: textIn(subject, "digest"),
      artifactType: typeof artifactType === "string" ? artifactType : textIn(config, "mediaType"),
    };
  } catch (error) {
    if (isOcicryptError(error, "MANIFEST_INVALID")) return {};
    throw error;
  }
}

function textIn(value: unknown, name: string): string | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  const text = (value as Record<string, unknown>)[name];
  return typeof text === "string" ? text : undefined;
}
