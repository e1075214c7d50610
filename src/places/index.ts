/**
 * Opens images by the names that the command and skopeo give them.
 *
 * @module ocicrypt/places
 */
import { OcicryptError } from "../errors.js";
import {
  archiveDestination,
  archiveSource,
  directoryDestination,
  directorySource,
  dockerArchiveSource,
  layoutDestination,
  layoutSource,
  parseArchiveReference,
  parseLayoutReference,
  type ImageDestination,
  type ImageSource,
} from "../store/index.js";
import type { RegistryOptions } from "../registry/index.js";

export type { ImageDestination, ImageSource } from "../store/index.js";

/** How to open an image. */
export interface PlaceOptions {
  /** For images in registries. */
  registry?: RegistryOptions | undefined;
}

/** How to open an image for writing. */
export interface DestinationOptions extends PlaceOptions {
  /** Bytes in each request of an upload to a registry; one request for each blob by default. */
  chunkSize?: number | undefined;
  /**
   * The name of the source. Blobs in another repository of the same registry are then mounted, not
   * copied.
   */
  source?: string | undefined;
  signal?: AbortSignal | undefined;
}

const REGISTRY = "docker://";

/**
 * Opens an image for reading:
 *
 * - `docker://HOST/REPO[:TAG][@DIGEST]` in a registry;
 * - `oci:DIR[:TAG]` and `oci-archive:FILE[:TAG]`, an OCI layout in a directory or a tar archive;
 * - `docker-archive:FILE[:NAME]`, an archive as `docker save` writes it;
 * - `dir:DIR`, a directory as skopeo writes it;
 * - `containers-storage:NAME` and `docker-daemon:NAME`, the images of podman and Docker, which
 *   these programs export.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 */
export async function openSource(
  text: string,
  { registry }: PlaceOptions = {},
): Promise<ImageSource> {
  if (text.startsWith(REGISTRY)) {
    const { parseRegistryReference, registrySource } = await import("../registry/index.js");
    return registrySource(parseRegistryReference(text), registry);
  }
  const [transport] = text.split(":", 1);
  switch (transport) {
    case "oci-archive":
      return archiveSource(parseArchiveReference(text));
    case "docker-archive":
      return dockerArchiveSource(parseDockerArchive(text));
    case "dir":
      return directorySource(restOf(text));
    case "containers-storage":
      return (await import("./programs.js")).containersStorageSource(imageOf(text));
    case "docker-daemon":
      return (await import("./programs.js")).dockerDaemonSource(imageOf(text));
    default:
      return layoutSource(parseLayoutReference(text));
  }
}

/**
 * Opens an image for writing: in a registry (`docker://…`), an OCI layout (`oci:…`), an OCI archive
 * (`oci-archive:…`) or a directory as skopeo writes it (`dir:…`).
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, also for the other places of
 *   {@link openSource}; and those of the destination
 */
export async function openDestination(
  text: string,
  { registry, chunkSize, source, signal }: DestinationOptions = {},
): Promise<ImageDestination> {
  if (text.startsWith(REGISTRY)) {
    const { parseRegistryReference, registryDestination } = await import("../registry/index.js");
    const mountFrom = source?.startsWith(REGISTRY) === true ? parseRegistryReference(source) : undefined; // prettier-ignore
    const options = { ...registry, chunkSize, mountFrom, signal };
    return registryDestination(parseRegistryReference(text), options);
  }
  const [transport = ""] = text.split(":", 1);
  if (/^(?:docker-archive|containers-storage|docker-daemon)$/.test(transport)) {
    const command = `skopeo copy oci:DIR:TAG ${text}`;
    const message = `${transport}: is read, but not written; write to oci:DIR:TAG, then run ${command}`;
    throw new OcicryptError("REFERENCE_INVALID", message);
  }
  if (transport === "dir") return directoryDestination(restOf(text));
  if (transport === "oci-archive") return archiveDestination(parseArchiveReference(text));
  return layoutDestination(parseLayoutReference(text));
}

/** As skopeo reads it: the file ends at the first colon. */
function parseDockerArchive(text: string): { path: string; name?: string } {
  const rest = restOf(text);
  const drive = process.platform === "win32" && /^[A-Za-z]:[\\/]/.test(rest) ? 2 : 0;
  const colon = rest.indexOf(":", drive);
  if (colon < 0) return { path: rest };
  return { path: rest.slice(0, colon), name: rest.slice(colon + 1) };
}

function restOf(text: string): string {
  const rest = text.slice(text.indexOf(":") + 1);
  if (rest !== "") return rest;
  throw new OcicryptError("REFERENCE_INVALID", `"${text}" is not an image: it names nothing`);
}

/** A name that goes to another program as an argument. */
function imageOf(text: string): string {
  const image = restOf(text);
  // Nor skopeo's forms with the options of a store: [overlay@/var/lib/…]NAME.
  if (/^[A-Za-z0-9][\w.:@/+-]{0,1000}$/.test(image)) return image;
  const shown = `${text.slice(0, text.indexOf(":"))}:…`;
  throw new OcicryptError("REFERENCE_INVALID", `"${shown}" is not an image: its name is not valid`);
}
