import { isOcicryptError } from "../errors.js";
import { layerProblem, PROFILES, recipientProblem, type CompatProfile } from "../keywrap/compat.js";
import type { Key } from "../keywrap/types.js";
import {
  checkServers as askServers,
  explainKey,
  type LayerServerReport,
  listRecipients,
  type RecipientReport,
} from "../layer/explain.js";
import { encryptionSchemes, isEncryptedDescriptor, type Descriptor } from "../spec/descriptor.js";
import type { ImageSource } from "../store/types.js";
import { compareBinding, layerHash, type BindingState } from "./features/binding.js";
import { readExpectations } from "./features/expected-config.js";
import { lintConfig, type ConfigReport } from "./features/config-lint.js";
import { isImageConfig } from "./manifests/image-config.js";
import { formatPlatform } from "./manifests/select-layers.js";
import { readDocument, readImage, type ImageTree, type ManifestNode } from "./manifests/tree.js";

export interface InspectImageOptions {
  /** The keys to try on each encrypted layer. */
  keys?: readonly Key[] | undefined;
  /** Whether to read the configs and report what they reveal. Default: false. */
  config?: boolean | undefined;
  /**
   * Whether to ask key servers about the keys of the layers. Keys of key servers say which servers
   * may be contacted. Default: false.
   */
  checkServers?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface ImageReport {
  /** Digest of the manifest or index. */
  digest: string;
  mediaType: string;
  manifests: ManifestReport[];
  /** The manifests that an index names but the source does not hold; absent if there are none. */
  missing?: MissingReport[];
}

export interface MissingReport {
  /** `os/arch`, or `-` if the index names none. */
  platform: string;
  digest: string;
}

export interface ManifestReport {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  digest: string;
  layers: LayerReport[];
  /** Present if it was requested and the manifest has the config of an image. */
  config?: ConfigReport;
}

export interface LayerReport {
  /** The layer's position in its manifest, from 0. */
  index: number;
  mediaType: string;
  digest: string;
  /** The size in bytes. */
  size: number;
  encrypted: boolean;
  recipients: RecipientReport[];
  /** The tools that can decrypt the layer, given the right key. */
  readers: ReaderReport[];
  /**
   * One report for each label among the given keys, because a key file can contain keys for several
   * schemes.
   */
  keys: LayerKeyReport[];
  /** The answers of the key servers; absent if they were not asked. */
  servers?: LayerServerReport[];
}

export interface ReaderReport {
  /** See `compat` of `EncryptImageOptions`. */
  profile: CompatProfile;
  reads: boolean;
  /**
   * The key providers that these tools need one of, if they can open no other wrapped key of the
   * layer. Absent otherwise.
   */
  providers?: string[];
  /** The properties of the layer that prevent its readers from decrypting it. */
  problems: string[];
}

export interface LayerKeyReport {
  /** The key's label. */
  key: string;
  opens: boolean;
  /** The scheme of the wrapped key that it opens. */
  scheme?: string;
  /** The position of that wrapped key in its scheme's list, from 0. */
  index?: number;
  /**
   * For a key that opens the layer: `bound` if the layer is bound to this image, `mismatch` if it
   * is bound to another image, `none` if the wrapped key contains no binding.
   */
  binding?: BindingState;
  /** The reasons why the key does not open the layer. */
  reasons: string[];
}

/**
 * Reports how an image is encrypted, according to its manifests. This needs no key, and reads no
 * blobs other than configs, if they are requested.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`, `MANIFEST_INVALID`,
 *   `MANIFEST_TOO_LARGE`, `MANIFEST_UNSUPPORTED`, `BLOB_NOT_FOUND`, `BLOB_SIZE_MISMATCH`,
 *   `BLOB_DIGEST_MISMATCH`, `SOURCE_UNREADABLE`
 */
export async function inspectImage(
  source: ImageSource,
  options: InspectImageOptions = {},
): Promise<ImageReport> {
  const { signal } = options;
  const tree = await readImage(source, { signal });
  const manifests: ManifestReport[] = [];
  for (const node of tree.manifests) {
    manifests.push(await inspectManifest(source, node, options));
  }
  const { digest, mediaType } = tree.root.descriptor;
  return { digest, mediaType, manifests, ...reportMissing(tree) };
}

/** Reports the manifests that an index names and the source does not hold, if any. */
export function reportMissing({ missing }: ImageTree): { missing?: MissingReport[] } {
  if (missing.length === 0) return {};
  const reports = missing.map(({ descriptor: { platform, digest } }) => ({
    platform: formatPlatform(platform),
    digest,
  }));
  return { missing: reports };
}

async function inspectManifest(
  source: ImageSource,
  manifest: ManifestNode,
  { keys = [], config = false, checkServers = false, signal }: InspectImageOptions,
): Promise<ManifestReport> {
  const { descriptor, document, platform } = manifest;
  const layers: LayerReport[] = [];
  const hashes = keys.length === 0 ? undefined : await placeHashes(source, manifest, signal);
  for (const [index, layer] of document.layers.entries()) {
    const { mediaType, digest, size } = layer.descriptor;
    const encrypted = isEncryptedDescriptor(layer.descriptor);
    const recipients = await listRecipients(layer.descriptor);
    layers.push({
      ...{ index, mediaType, digest, size, encrypted, recipients },
      readers: encrypted ? findReaders(mediaType, recipients) : [],
      keys: encrypted ? await tryKeys(layer.descriptor, keys, hashes?.[index], signal) : [],
      ...(checkServers && { servers: await askServers(layer.descriptor, { keys, signal }) }),
    });
  }
  const report = { platform: formatPlatform(platform), digest: descriptor.digest, layers };
  if (!config || !isImageConfig(document.config)) return report;
  return { ...report, config: lintConfig(await readDocument(source, document.config, signal)) };
}

/** Returns the hash of each layer's place, except for manifests whose config cannot be read. */
async function placeHashes(
  source: ImageSource,
  manifest: ManifestNode,
  signal: AbortSignal | undefined,
): Promise<(Uint8Array | undefined)[]> {
  const layers = manifest.document.layers.map((layer, index) => ({ ...layer, manifest, index }));
  const encrypted = layers.filter(({ descriptor }) => isEncryptedDescriptor(descriptor));
  if (encrypted.length === 0) return [];
  try {
    const options = { allowUnverified: true, signal };
    const { hashes } = await readExpectations(source, encrypted, options);
    return layers.map((layer) => layerHash(layer, hashes));
  } catch (error) {
    // An image without its config can still be inspected.
    if (isOcicryptError(error, "BLOB_NOT_FOUND")) return [];
    throw error;
  }
}

/** A binding that cannot be read is not for this image. */
function stateOf(binding: Uint8Array | undefined, hash: Uint8Array | undefined): BindingState {
  try {
    return compareBinding(binding, hash);
  } catch (error) {
    if (isOcicryptError(error, "PRIVATE_OPTIONS_INVALID")) return "mismatch";
    throw error;
  }
}

function findReaders(mediaType: string, recipients: readonly RecipientReport[]): ReaderReport[] {
  return PROFILES.map((profile) => {
    const layer = layerProblem(profile, mediaType);
    const perRecipient = recipients.map((each) => each.problem ?? recipientProblem(profile, each));
    const problems = [layer, ...perRecipient].filter((problem) => problem !== undefined);
    const reads = layer === undefined && perRecipient.includes(undefined);
    const usable = recipients.filter((_, i) => perRecipient[i] === undefined);
    const names = [...new Set(usable.map(({ scheme }) => providerOf(scheme)))];
    const providers =
      reads && !names.includes(undefined)
        ? { providers: names.filter((name) => name !== undefined) }
        : {};
    return { profile, reads, ...providers, problems: [...new Set(problems)] };
  });
}

/** The name of the key provider that opens the wrapped keys of a scheme. */
function providerOf(scheme: string): string | undefined {
  return scheme.startsWith("provider.") ? scheme.slice("provider.".length) : undefined;
}

/** Tries keys on a layer, those with one label together. */
export async function tryKeys(
  descriptor: Descriptor,
  keys: readonly Key[],
  hash: Uint8Array | undefined,
  signal: AbortSignal | undefined,
): Promise<LayerKeyReport[]> {
  const byLabel = new Map<string, Key[]>();
  for (const [i, key] of keys.entries()) {
    const label = key.label ?? `key ${String(i + 1)}`;
    byLabel.set(label, [...(byLabel.get(label) ?? []), key]);
  }
  const reports: LayerKeyReport[] = [];
  for (const [key, parts] of byLabel) {
    reports.push({ key, ...(await tryParts(descriptor, parts, hash, signal)) });
  }
  return reports;
}

/** Keys of schemes that the layer does not have are reported only if the file has no other keys. */
async function tryParts(
  descriptor: Descriptor,
  parts: readonly Key[],
  hash: Uint8Array | undefined,
  signal: AbortSignal | undefined,
): Promise<Omit<LayerKeyReport, "key">> {
  const present = encryptionSchemes(descriptor);
  const fitting = parts.filter(({ scheme }) => present.includes(scheme));
  const reasons: string[] = [];
  for (const part of fitting) {
    const report = await explainKey(descriptor, { key: part, signal });
    const { opens, index } = report;
    if (!opens) {
      reasons.push(...report.reasons);
      continue;
    }
    const place = { scheme: part.scheme, ...(index !== undefined && { index }) };
    return { opens, ...place, binding: stateOf(report.binding, hash), reasons: [] };
  }
  if (fitting.length === 0) {
    const schemes = [...new Set(parts.map(({ scheme }) => scheme))].join(", ");
    reasons.push(`it opens ${schemes}, but the layer has ${present.join(", ")}`);
  }
  return { opens: false, reasons };
}
