import { readKeyFile } from "./key-file.js";
import type { RegistryOptions } from "../registry/index.js";
import {
  archiveDestination,
  archiveSource,
  layoutDestination,
  layoutSource,
  parseArchiveReference,
  parseReference,
  type ImageDestination,
  type ImageSource,
} from "../store/index.js";
import { UsageError } from "./usage-error.js";

export interface ImageOptions {
  /** Speak HTTP with registries that are not of this machine. */
  plainHttp: boolean;
  /** A file of certificates to trust for registries besides the system's. */
  caFile: string | undefined;
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
    return registrySource(parseRegistryReference(text), registryOptions(options));
  }
  if (text.startsWith(ARCHIVE)) return archiveSource(parseArchiveReference(text));
  return layoutSource(parseReference(text));
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
    return registryDestination(parseRegistryReference(text), {
      ...registryOptions(options),
      ...(source.startsWith(REGISTRY) && { mountFrom: parseRegistryReference(source) }),
      signal,
    });
  }
  if (text.startsWith(ARCHIVE)) return archiveDestination(parseArchiveReference(text));
  return layoutDestination(parseReference(text));
}

function registryOptions({ plainHttp, caFile }: ImageOptions): RegistryOptions {
  return {
    ...(plainHttp && { insecure: true }),
    ...(caFile !== undefined && { ca: readCertificates(caFile) }),
  };
}

function readCertificates(file: string): Uint8Array {
  const bytes = readKeyFile(file, "the certificates of --ca-file");
  if (Buffer.from(bytes).includes("-----BEGIN CERTIFICATE-----")) return bytes;
  const hint = "name a PEM file; of DER openssl x509 -inform DER -in FILE -out ca.pem makes one";
  throw new UsageError(`${file} of --ca-file holds no certificate in PEM`, hint);
}
