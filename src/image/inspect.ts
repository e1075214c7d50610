import { isOcicryptError } from "../errors.js";
import { layerProblem, PROFILES, recipientProblem, type Profile } from "../keywrap/compat.js";
import type { Key } from "../keywrap/types.js";
import { explainKey, listRecipients, type RecipientReport } from "../layer/explain.js";
import { encryptionSchemes, isEncryptedDescriptor, type Descriptor } from "../spec/descriptor.js";
import type { ImageSource } from "../store/types.js";
import { compareBinding, layerHash, type BindingState } from "./features/binding.js";
import { readExpectations } from "./features/expected-config.js";
import { lintConfig, type ConfigReport } from "./features/config-lint.js";
import { isImageConfig } from "./manifests/image-config.js";
import { formatPlatform } from "./manifests/select-layers.js";
import {
  imageManifests,
  missingManifests,
  readDocument,
  readImage,
  type ManifestNode,
} from "./manifests/tree.js";

export interface InspectImageOptions {
  /** Each is tried on each encrypted layer. */
  keys?: readonly Key[] | undefined;
  /** Whether to read the configs and tell what they reveal; not by default. */
  config?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface ImageReport {
  /** Digest of the manifest or index. */
  digest: string;
  mediaType: string;
  manifests: ManifestReport[];
  /** Manifests that an index names and the source does not hold; absent without any. */
  missing?: MissingReport[];
}

export interface MissingReport {
  /** `os/arch`, or `-` where the index names none. */
  platform: string;
  digest: string;
}

export interface ManifestReport {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  digest: string;
  layers: LayerReport[];
  /** If it was asked for, and the manifest has the config of an image. */
  config?: ConfigReport;
}

export interface LayerReport {
  /** The layer's place in its manifest, from 0. */
  index: number;
  mediaType: string;
  digest: string;
  /** In bytes. */
  size: number;
  encrypted: boolean;
  recipients: RecipientReport[];
  /** The tools that can decrypt the layer, given the right key. */
  readers: ReaderReport[];
  /** One for each label among the keys given: a key file can hold keys for several schemes. */
  keys: LayerKeyReport[];
}

export interface ReaderReport {
  /** See `compat` of `EncryptImageOptions`. */
  profile: Profile;
  reads: boolean;
  /** The properties of the layer that prevent its readers from decrypting it. */
  problems: string[];
}

export interface LayerKeyReport {
  /** The key's label. */
  key: string;
  opens: boolean;
  /** The scheme of the wrapped key that it opens. */
  scheme?: string;
  /** The place of that wrapped key in its scheme's list, from 0. */
  index?: number;
  /**
   * Where it opens the layer: whether the wrapped key says that the layer belongs to this image.
   * `none` where it says nothing, `mismatch` for a layer of another image.
   */
  binding?: BindingState;
  /** Why it does not open the layer. */
  reasons: string[];
}

/**
 * Tells what an image's manifests say of its encryption. No blob is read but configs, if they are
 * asked for, and no key is needed.
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
  const root = await readImage(source, { signal });
  const manifests: ManifestReport[] = [];
  for (const node of imageManifests(root)) {
    manifests.push(await inspectManifest(source, node, options));
  }
  const { digest, mediaType } = root.descriptor;
  const missing = missingManifests(root).map((node) => ({
    platform: formatPlatform(node.descriptor.platform),
    digest: node.descriptor.digest,
  }));
  return { digest, mediaType, manifests, ...(missing.length > 0 && { missing }) };
}

async function inspectManifest(
  source: ImageSource,
  manifest: ManifestNode,
  { keys = [], config = false, signal }: InspectImageOptions,
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
    });
  }
  const report = { platform: formatPlatform(platform), digest: descriptor.digest, layers };
  if (!config || !isImageConfig(document.config)) return report;
  return { ...report, config: lintConfig(await readDocument(source, document.config, signal)) };
}

/** The hash of each layer's place; none for a manifest whose config cannot be read. */
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

/** A binding that cannot be read is not that of this image. */
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
    return { profile, reads, problems: [...new Set(problems)] };
  });
}

async function tryKeys(
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

/** A key of a scheme that the layer has no recipient of says nothing, unless all are such. */
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
    reasons.push(`it can open ${schemes}, the layer has ${present.join(", ")}`);
  }
  return { opens: false, reasons };
}
