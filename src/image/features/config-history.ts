import { fromUtf8, toUtf8 } from "#engine/bytes";
import type { ForkableHash } from "../../engine/types.js";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import { replaceContent, type Descriptor } from "../../spec/descriptor.js";
import { applyEdits, locate, member, removeMembers } from "../../text/json-edits.js";
import { digestOf } from "../../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import type { ImageDestination, ImageSource } from "../../store/types.js";
import {
  type ImageConfig,
  isImageConfig,
  parseConfig,
  parseImageConfig,
} from "../manifests/image-config.js";
import type { NewConfig } from "../manifests/rewrite.js";
import { readConfig } from "../manifests/missing.js";
import type { ManifestNode } from "../manifests/tree.js";
import { hashConfig, type ImageHashes } from "./binding.js";
import { formatFinding, lintConfig } from "./config-lint.js";
import { exposes, notKnown } from "./plain-left.js";

export interface ReadConfigs {
  /** Warnings about secrets in the resulting configs. */
  warnings: string[];
  redacted: NewConfig[];
  /** The original configs that can be read. */
  configs: ReadonlyMap<ManifestNode, ImageConfig>;
  /** The hashes of the new configs, for the binding of layers. */
  hashes: ImageHashes;
}

/** All redacted configs are held in memory at once. */
const MAX_REDACTED = 16 * MAX_MANIFEST_SIZE;
/** The most warnings about one image; more would not help. */
const MAX_WARNINGS = 50;

/**
 * Reads the configs of images, looks for secrets in them, and removes the history if requested.
 *
 * @throws {@link OcicryptError} with `redact`: `MANIFEST_INVALID`, `MANIFEST_TOO_LARGE`; and the
 *   errors of reading
 */
export async function readConfigs(
  source: ImageSource,
  manifests: readonly ManifestNode[],
  { redact, signal }: { redact: boolean; signal: AbortSignal | undefined },
): Promise<ReadConfigs> {
  const warnings = new Set<string>();
  const redacted: NewConfig[] = [];
  const configs = new Map<ManifestNode, ImageConfig>();
  let size = 0;
  for (const manifest of manifests) {
    const { config } = manifest.document;
    if (!isImageConfig(config)) continue;
    if (config.size > MAX_MANIFEST_SIZE && !redact) {
      warnings.add(`the config ${config.digest} is too large to be searched for secrets`);
      continue;
    }
    const before = await readConfig(source, manifest, signal);
    const parsed = parseIfPossible(before);
    if (parsed !== undefined) configs.set(manifest, parsed);
    const bytes = redact ? redactHistory(before) : undefined;
    if (bytes !== undefined) {
      size += bytes.byteLength;
      if (size > MAX_REDACTED) {
        throw new OcicryptError("MANIFEST_TOO_LARGE", "the image's configs are too large together");
      }
      redacted.push(replaceConfig(manifest, bytes));
    }
    for (const warning of lint(bytes ?? before, config)) warnings.add(warning);
  }
  const changed = new Map(redacted.map(({ manifest, after }) => [manifest, after.digest]));
  const hashes = new Map<ManifestNode, ForkableHash>();
  for (const [manifest, config] of configs) {
    const { document } = manifest;
    const digest = changed.get(manifest) ?? document.config.digest;
    const hash = hashConfig(config, digest, document.layers.length);
    if (hash !== undefined) hashes.set(manifest, hash);
  }
  return { warnings: limited([...warnings]), redacted, configs, hashes };
}

function parseIfPossible(bytes: Uint8Array): ImageConfig | undefined {
  try {
    return parseImageConfig(bytes);
  } catch (error) {
    if (isOcicryptError(error, "MANIFEST_INVALID")) return undefined;
    throw error;
  }
}

function lint(bytes: Uint8Array, { digest }: Descriptor): string[] {
  try {
    return lintConfig(bytes).findings.map(
      (finding) => `the config stays readable: ${formatFinding(finding)}`,
    );
  } catch (error) {
    if (!isOcicryptError(error, "MANIFEST_INVALID")) throw error;
    return [`the config ${digest} is not JSON and was not searched for secrets`];
  }
}

function limited(warnings: readonly string[]): string[] {
  const rest = warnings.length - MAX_WARNINGS;
  if (rest <= 0) return [...warnings];
  return [
    ...warnings.slice(0, MAX_WARNINGS),
    `the configs contain ${String(rest)} more values that look like secrets`,
  ];
}

function replaceConfig(manifest: ManifestNode, bytes: Uint8Array): NewConfig {
  const { config, text } = manifest.document;
  const node = member(locate(text), "config");
  if (node === undefined) throw new TypeError("a manifest that was parsed has a config");
  const digest = digestOf(bytes);
  const { mediaType, annotations } = config;
  const content = { mediaType, digest, size: bytes.byteLength, annotations };
  return { manifest, descriptor: config, node, bytes, after: replaceContent(config, content) };
}

/** Warnings about a history that was removed. */
export async function findHistoryLeft(
  redacted: readonly NewConfig[],
  hasAttestations: boolean,
  destination: ImageDestination,
): Promise<string[]> {
  const before = new Map(redacted.map(({ descriptor }) => [descriptor.digest, descriptor]));
  const warnings = [...before.keys()].map(
    (digest) =>
      `the history was removed from the config ${digest}: decryption will not restore the original image`,
  );
  for (const [digest, descriptor] of before) {
    const isExposed = await exposes(destination, descriptor);
    const config = `the config ${digest} with its history`;
    if (isExposed === "yes") warnings.push(`the destination still holds ${config}`);
    if (isExposed === "unknown") warnings.push(notKnown(config));
  }
  if (redacted.length > 0 && hasAttestations) {
    warnings.push("the image's attestations are kept; they may reveal how it was built");
  }
  return warnings;
}

const REDACTED = ["created_by", "comment"];

/**
 * Returns a config whose history does not reveal how the image was built. Every entry stays,
 * because readers count the entries, but without `created_by` and `comment`. All other bytes stay
 * too.
 *
 * @returns `undefined` if there is nothing to remove
 * @throws {@link OcicryptError} `MANIFEST_INVALID`
 */
export function redactHistory(config: Uint8Array): Uint8Array | undefined {
  parseConfig(config);
  const text = toUtf8(config);
  const edits = (member(locate(text), "history")?.items ?? []).flatMap((entry) =>
    removeMembers(entry, (name) => REDACTED.includes(name)),
  );
  return edits.length === 0 ? undefined : fromUtf8(applyEdits(text, edits));
}
