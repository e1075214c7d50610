import { OcicryptError } from "../errors.js";

export const MEDIA_TYPE_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const MEDIA_TYPE_INDEX = "application/vnd.oci.image.index.v1+json";
export const MEDIA_TYPE_CONFIG = "application/vnd.oci.image.config.v1+json";
export const MEDIA_TYPE_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const MEDIA_TYPE_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const MEDIA_TYPE_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";

/** The types of manifests and indexes that are read. */
export const DOCUMENT_TYPES: readonly string[] = [
  MEDIA_TYPE_MANIFEST,
  MEDIA_TYPE_INDEX,
  MEDIA_TYPE_DOCKER_MANIFEST,
  MEDIA_TYPE_DOCKER_LIST,
];

const SUFFIX = "+encrypted";

const LAYER = "application/vnd.oci.image.layer.v1.tar";
const NONDISTRIBUTABLE_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/**
 * containerd and the Rust implementation reject Docker's layer types with `+encrypted`
 * (confidential-containers#356), so encryption writes the equivalent OCI types.
 */
const OCI_LAYER: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  [DOCKER_LAYER, LAYER],
  [`${DOCKER_LAYER}.gzip`, `${LAYER}+gzip`],
  [`${DOCKER_LAYER}.zstd`, `${LAYER}+zstd`],
  [DOCKER_FOREIGN_LAYER, NONDISTRIBUTABLE_LAYER],
  [`${DOCKER_FOREIGN_LAYER}.gzip`, `${NONDISTRIBUTABLE_LAYER}+gzip`],
  [`${DOCKER_FOREIGN_LAYER}.zstd`, `${NONDISTRIBUTABLE_LAYER}+zstd`],
]);

/** https://github.com/opencontainers/image-spec/blob/main/media-types.md#compatibility-matrix */
const OCI_DOCUMENT: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  [MEDIA_TYPE_DOCKER_MANIFEST, MEDIA_TYPE_MANIFEST],
  [MEDIA_TYPE_DOCKER_LIST, MEDIA_TYPE_INDEX],
  [MEDIA_TYPE_DOCKER_CONFIG, MEDIA_TYPE_CONFIG],
]);

export type Compression = "none" | "gzip" | "zstd";

/**
 * Returns the compression of a plain layer's tar, or `undefined` if the type is not that of a tar
 * layer.
 */
export function layerCompression(mediaType: string): Compression | undefined {
  const oci =
    /^application\/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(gzip|zstd))?$/;
  const docker =
    /^application\/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.(gzip|zstd))?$/;
  const match = oci.exec(mediaType) ?? docker.exec(mediaType);
  if (match === null) return undefined;
  return (match[1] ?? "none") as Compression;
}

/** Whether a media type says that its blob is encrypted. */
export function isEncryptedMediaType(mediaType: string): boolean {
  return mediaType.endsWith(SUFFIX) && mediaType.length > SUFFIX.length;
}

const MARKS = /\+encrypted(?![a-z\d])/gi;

/**
 * Whether a media type mentions encryption, but not as one suffix at its end: twice, before another
 * suffix or a parameter, or in capitals. Of these types, containers/image takes only those that end
 * with `+encrypted` for encrypted, and refuses to encrypt any of them (manifest/oci.go), so that an
 * encrypted layer could be plain to another reader.
 */
export function isAmbiguousMediaType(mediaType: string): boolean {
  const marks = mediaType.match(MARKS) ?? [];
  return marks.length > 1 || (marks.length === 1 && !isEncryptedMediaType(mediaType));
}

/** Returns OCI's equivalent of a Docker media type, and every other type unchanged. */
export function ociMediaType(mediaType: string): string {
  return OCI_DOCUMENT.get(mediaType) ?? OCI_LAYER.get(mediaType) ?? mediaType;
}

/**
 * Returns the media type of an encrypted layer: any type with `+encrypted` appended. Docker's layer
 * types are converted to OCI types first.
 *
 * @throws {@link OcicryptError} `ALREADY_ENCRYPTED`
 */
export function encryptedMediaType(mediaType: string): string {
  if (isEncryptedMediaType(mediaType) || isAmbiguousMediaType(mediaType)) {
    throw new OcicryptError("ALREADY_ENCRYPTED", `${mediaType} is already an encrypted type`);
  }
  return (OCI_LAYER.get(mediaType) ?? mediaType) + SUFFIX;
}

/**
 * Returns the media type after decryption, which is the type without `+encrypted`. The form of
 * Docker's type that containers/image writes into OCI manifests becomes Docker's type again. A type
 * that is not encrypted is returned unchanged.
 */
export function plainMediaType(mediaType: string): string {
  return isEncryptedMediaType(mediaType) ? mediaType.slice(0, -SUFFIX.length) : mediaType;
}
