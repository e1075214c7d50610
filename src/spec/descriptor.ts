import { ENCRYPTION_PREFIX, KEYS_PREFIX } from "./annotations.js";
import { isEncryptedMediaType } from "./media-types.js";

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

/** The members that this library needs of a descriptor. Most libraries' own types fit. */
export interface DescriptorLike {
  readonly mediaType: string;
  readonly digest?: string | undefined;
  readonly size?: number | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** The members of a descriptor that follow from the content itself. */
export interface Content {
  mediaType: string;
  digest: string;
  size: number;
  annotations?: Record<string, string> | undefined;
}

/**
 * A descriptor of other content in place of an old one. All members stay that are not about the
 * content; `data` and `urls` go, as they hold or point to the old content, which may be a secret.
 */
export function replaceContent(descriptor: DescriptorLike, content: Content): Descriptor {
  const gone = ["data", "urls", "annotations"];
  const kept = Object.entries(descriptor).filter(([name]) => !gone.includes(name));
  const { annotations, ...rest } = content;
  const hasAnnotations = annotations !== undefined && Object.keys(annotations).length > 0;
  return { ...Object.fromEntries(kept), ...rest, ...(hasAnnotations && { annotations }) };
}

/** Annotations without those of encryption. */
export function foreignAnnotations(descriptor: DescriptorLike): Record<string, string> {
  const entries = Object.entries(descriptor.annotations ?? {});
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith(ENCRYPTION_PREFIX)));
}

/** The annotations of encryption, in the order in which they stand. */
export function encryptionAnnotations(
  descriptor: Pick<DescriptorLike, "annotations">,
): Record<string, string> {
  const entries = Object.entries(descriptor.annotations ?? {});
  return Object.fromEntries(entries.filter(([name]) => name.startsWith(ENCRYPTION_PREFIX)));
}

/**
 * The schemes under which keys are wrapped in a descriptor's annotations (`jwe`, `pkcs7`, `pgp`,
 * `pkcs11`, `provider.<name>`), known to this library or not, in the order in which they stand.
 */
export function encryptionSchemes(descriptor: DescriptorLike): string[] {
  return Object.keys(descriptor.annotations ?? {})
    .filter((name) => name.startsWith(KEYS_PREFIX))
    .map((name) => name.slice(KEYS_PREFIX.length));
}

/**
 * Whether a descriptor is that of an encrypted blob. The media type alone does not decide: a
 * descriptor that carries wrapped keys under any other type is encrypted too, and encrypting it
 * again would lose the first key for good.
 */
export function isEncryptedDescriptor(descriptor: DescriptorLike): boolean {
  return isEncryptedMediaType(descriptor.mediaType) || encryptionSchemes(descriptor).length > 0;
}
