import { existsSync } from "node:fs";
import { isOcicryptError, OcicryptError } from "../errors.js";
import type { RegistryOptions, RegistryRetry } from "../registry/index.js";
import {
  archiveDestination,
  archiveSource,
  layoutDestination,
  layoutSource,
  parseArchiveReference,
  parseReference,
  type ImageDestination,
  type ImageSource,
  type Reference,
} from "../store/index.js";
import { readKeyFile } from "./key-file.js";
import { isPem, mayBeKey } from "./secret-text.js";
import { writeAbove } from "./progress.js";
import { printable } from "./text.js";
import { UsageError } from "./usage-error.js";

export interface ImageOptions {
  /** Speak HTTP with registries that are not of this machine. */
  plainHttp: boolean;
  /** A file of certificates to trust for registries besides the system's. */
  caFile: string | undefined;
  quiet: boolean;
}

const REGISTRY = "docker://";
const ARCHIVE = "oci-archive:";

/**
 * The image that a command line names as its source.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, `KEY_UNREADABLE` for the file of certificates
 */
export async function openSource(text: string, options: ImageOptions): Promise<ImageSource> {
  if (text.startsWith(REGISTRY)) {
    const { parseRegistryReference, registrySource } = await import("../registry/index.js");
    return registrySource(parse(text, parseRegistryReference), registryOptions(options));
  }
  if (text.startsWith(ARCHIVE))
    return archiveSource(atKnownPlace(parse(text, parseArchiveReference)));
  return layoutSource(atKnownPlace(parse(text, parseReference)));
}

/**
 * The image that a command line names as its destination.
 *
 * @param source where its blobs come from, which a registry may be able to take over by itself
 * @throws {@link OcicryptError} as {@link openSource}, and those of the destination
 */
export async function openDestination(
  text: string,
  source: string,
  options: ImageOptions,
  signal: AbortSignal,
): Promise<ImageDestination> {
  if (text.startsWith(REGISTRY)) {
    const { parseRegistryReference, registryDestination } = await import("../registry/index.js");
    return registryDestination(parse(text, parseRegistryReference), {
      ...registryOptions(options),
      ...(source.startsWith(REGISTRY) && { mountFrom: parse(source, parseRegistryReference) }),
      signal,
    });
  }
  if (text.startsWith(ARCHIVE)) return archiveDestination(parse(text, parseArchiveReference));
  return layoutDestination(parse(text, parseReference));
}

/** An image for the result: of a registry with the tag that it has where none is written. */
export function shownImage(text: string): string {
  const isTagged = /@|:[^/]*$/.test(text.slice(REGISTRY.length));
  return text.startsWith(REGISTRY) && !isTagged ? `${text}:latest` : text;
}

/** What is no image may be a key that lost its option, and the message about it would quote it. */
function parse<T>(text: string, read: (text: string) => T): T {
  const message = "what stands in the place of an image is none, and may be a key";
  if (isPem(text)) throw new OcicryptError("REFERENCE_INVALID", message);
  try {
    return read(text);
  } catch (error) {
    if (!isOcicryptError(error, "REFERENCE_INVALID") || !mayBeKey(text)) throw error;
    throw new OcicryptError("REFERENCE_INVALID", message);
  }
}

function atKnownPlace(reference: Reference): Reference {
  if (!mayBeKey(reference.path) || existsSync(reference.path)) return reference;
  throw new OcicryptError("IMAGE_NOT_FOUND", "there is no image at the place given");
}

function registryOptions({ plainHttp, caFile, quiet }: ImageOptions): RegistryOptions {
  return {
    ...(!quiet && { onRetry: noteRetry }),
    ...(plainHttp && { insecure: true }),
    ...(caFile !== undefined && { ca: readCertificates(caFile) }),
  };
}

/** It can take minutes before a registry that does not answer is given up. */
function noteRetry({ reason, attempt, retries }: RegistryRetry): void {
  const tries = `trying again (${String(attempt)} of ${String(retries)})`;
  writeAbove(process.stderr, `${printable(reason)}; ${tries}`);
}

function readCertificates(file: string): Uint8Array {
  const bytes = readKeyFile(file, "the certificates of --ca-file");
  if (Buffer.from(bytes).includes("-----BEGIN CERTIFICATE-----")) return bytes;
  const hint = "name a PEM file; of DER openssl x509 -inform DER -in FILE -out ca.pem makes one";
  throw new UsageError(`${file} of --ca-file holds no certificate in PEM`, hint);
}
