import type { Key } from "../keywrap/types.js";
import {
  type FailedAttempt,
  listRecipients,
  meansWrappedKey,
  type RecipientReport,
  type RecipientSelector,
  reportRecipients,
} from "../layer/explain.js";
import { readWrappedKeys } from "../layer/wrapped-keys.js";
import { isEncryptedDescriptor, type Descriptor } from "../spec/descriptor.js";
import type { ImageSource } from "../store/types.js";
import { reportMissing, tryKeys, type MissingReport } from "./inspect.js";
import { formatPlatform } from "./manifests/select-layers.js";
import { readImage, type ManifestNode } from "./manifests/tree.js";

export interface AuditImageOptions {
  /** The keys to try on each encrypted layer. */
  keys?: readonly Key[] | undefined;
  /** The recipients to look for, such as people who have left. */
  recipients?: readonly RecipientSelector[] | undefined;
  signal?: AbortSignal | undefined;
}

export interface ImageAudit {
  /** The digest of the manifest or index. */
  digest: string;
  manifests: ManifestAudit[];
  /** The manifests that an index names but the source does not hold; absent if there are none. */
  missing?: MissingReport[];
}

export interface ManifestAudit {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  digest: string;
  /** The number of layers. */
  layers: number;
  /** The positions of the layers that are not encrypted, from 0. */
  plain: number[];
  /** The recipients of any of the layers, each once. */
  recipients: AuditedRecipient[];
  /** For each label among the keys, the positions of the layers that it opens. */
  keys: { key: string; opens: number[] }[];
  /** For each of the recipients to look for, the positions of the layers that have it. */
  found: number[][];
}

/** A recipient without its position, which differs between layers. */
export type AuditedRecipient = Omit<RecipientReport, "index">;

/**
 * Reports which layers of an image are encrypted, who their recipients are, and which keys open
 * them. Only manifests are read: no config and no layer.
 *
 * @throws {@link OcicryptError} the errors of the source as in `inspectImage`, and the errors of
 *   keys that could not be compared with a recipient
 */
export async function auditImage(
  source: ImageSource,
  options: AuditImageOptions = {},
): Promise<ImageAudit> {
  const { signal } = options;
  const tree = await readImage(source, { signal });
  const manifests: ManifestAudit[] = [];
  for (const node of tree.manifests) manifests.push(await auditManifest(node, options));
  return { digest: tree.root.descriptor.digest, manifests, ...reportMissing(tree) };
}

async function auditManifest(
  { descriptor, document, platform }: ManifestNode,
  { keys = [], recipients = [], signal }: AuditImageOptions,
): Promise<ManifestAudit> {
  const named = new Map<string, AuditedRecipient>();
  const opens = new Map<string, number[]>();
  const found: number[][] = recipients.map(() => []);
  const plain: number[] = [];
  for (const [index, { descriptor: layer }] of document.layers.entries()) {
    if (!isEncryptedDescriptor(layer)) {
      plain.push(index);
      continue;
    }
    for (const { scheme, algorithm, keyId, problem } of await listRecipients(layer)) {
      const recipient = {
        scheme,
        ...(algorithm !== undefined && { algorithm }),
        ...(keyId !== undefined && { keyId }),
        ...(problem !== undefined && { problem }),
      };
      named.set(JSON.stringify(recipient), recipient);
    }
    for (const report of await tryKeys(layer, keys, undefined, signal)) {
      const places = opens.get(report.key) ?? [];
      opens.set(report.key, report.opens ? [...places, index] : places);
    }
    for (const [i, selector] of recipients.entries()) {
      if (await hasRecipient(layer, selector, signal)) found[i]?.push(index);
    }
  }
  return {
    ...{ platform: formatPlatform(platform), digest: descriptor.digest, plain, found },
    layers: document.layers.length,
    recipients: [...named.values()],
    keys: [...opens].map(([key, places]) => ({ key, opens: places })),
  };
}

async function hasRecipient(
  layer: Descriptor,
  selector: RecipientSelector,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (const wrapped of readWrappedKeys(layer)) {
    const reports = await reportRecipients(wrapped);
    const failed: FailedAttempt[] = [];
    const isMeant = await meansWrappedKey(selector, wrapped, reports, failed, signal);
    if (isMeant) return true;
    // A key that cannot be tried does not prove that the recipient is gone.
    if (failed[0] !== undefined) throw failed[0].error;
  }
  return false;
}
