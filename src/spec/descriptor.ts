import { isEncryptedMediaType } from "./media-types.js";

/** The prefix of all annotations that layer encryption adds to a descriptor. */
export const ENCRYPTION_PREFIX = "org.opencontainers.image.enc.";

/** Lists of wrapped keys, one annotation for each scheme: this prefix and the scheme's name. */
export const KEYS_PREFIX = "org.opencontainers.image.enc.keys.";

/** The public options: cipher and HMAC, base64 of JSON. */
export const PUBLIC_OPTIONS = "org.opencontainers.image.enc.pubopts";

/** The name of an image inside an OCI layout's `index.json`. */
export const REF_NAME = "org.opencontainers.image.ref.name";

/** The digest of the manifest or index of the image that an image was built from. */
export const BASE_DIGEST = "org.opencontainers.image.base.digest";

/** BuildKit's mark on index entries that describe another entry, and the digest of that entry. */
export const DOCKER_REFERENCE_TYPE = "vnd.docker.reference.type";
export const DOCKER_REFERENCE_DIGEST = "vnd.docker.reference.digest";

/** https://github.com/opencontainers/image-spec/blob/main/image-index.md */
export interface Platform {
  architecture: string;
  os: string;
  variant?: string;
  "os.version"?: string;
  "os.features"?: string[];
}

/** https://github.com/opencontainers/image-spec/blob/main/descriptor.md */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string>;
  urls?: string[];
  data?: string;
  platform?: Platform;
  artifactType?: string;
}

/**
 * The members of a descriptor that this library needs. The types of most other libraries are
 * accepted.
 */
export interface DescriptorLike {
  readonly mediaType: string;
  readonly digest?: string | undefined;
  readonly size?: number | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** The members of a descriptor that depend on the content itself. */
interface Content {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string> | undefined;
}

/**
 * Returns a descriptor with other content. It keeps all members that do not depend on the content.
 * `data` and `urls` are removed, because they contain the old content or point to it, and it may be
 * secret.
 */
export function replaceContent(descriptor: DescriptorLike, content: Content): Descriptor {
  const gone = ["data", "urls", "annotations"];
  const kept = Object.entries(descriptor).filter(([name]) => !gone.includes(name));
  const { annotations, ...rest } = content;
  const hasAnnotations = annotations !== undefined && Object.keys(annotations).length > 0;
  return { ...Object.fromEntries(kept), ...rest, ...(hasAnnotations && { annotations }) };
}

/** Returns the annotations that are not part of encryption. */
export function foreignAnnotations(descriptor: DescriptorLike): Record<string, string> {
  const entries = Object.entries(descriptor.annotations ?? {});
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith(ENCRYPTION_PREFIX)));
}

/** Returns the annotations of encryption, in the descriptor's order. */
export function encryptionAnnotations(
  descriptor: Pick<DescriptorLike, "annotations">,
): Record<string, string> {
  const entries = Object.entries(descriptor.annotations ?? {});
  return Object.fromEntries(entries.filter(([name]) => name.startsWith(ENCRYPTION_PREFIX)));
}

/**
 * Returns the schemes of the wrapped keys in a descriptor's annotations (`jwe`, `pkcs7`, `pgp`,
 * `pkcs11`, `provider.<name>`), including unknown schemes, in the descriptor's order.
 */
export function encryptionSchemes(descriptor: DescriptorLike): string[] {
  return Object.keys(descriptor.annotations ?? {})
    .filter((name) => name.startsWith(KEYS_PREFIX))
    .map((name) => name.slice(KEYS_PREFIX.length));
}

/**
 * Whether a descriptor describes an encrypted blob. The media type alone does not decide: a
 * descriptor with wrapped keys is encrypted whatever its type is, and encrypting it again would
 * lose the first key forever.
 */
export function isEncryptedDescriptor(descriptor: DescriptorLike): boolean {
  return isEncryptedMediaType(descriptor.mediaType) || encryptionSchemes(descriptor).length > 0;
}
