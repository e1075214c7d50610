/**
 * Reads and writes images in OCI layout directories and archives.
 *
 * @module ocicrypt/store
 */
export { archiveDestination } from "./archive/destination.js";
export { archiveSource } from "./archive/source.js";
export { dockerArchiveSource, type DockerImage } from "./archive/docker.js";
export { directoryDestination, directorySource } from "./layout/directory.js";
export { layoutDestination } from "./layout/destination.js";
export { layoutSource, listLayout } from "./layout/source.js";
export { memoryImage, type MemoryImage } from "./memory.js";
export { parseArchiveReference, parseLayoutReference } from "./reference.js";

export type { LayoutReference } from "./reference.js";
export type {
  CommitOptions,
  ImageDestination,
  ImagePlace,
  ImageSource,
  StoreOptions,
} from "./types.js";
