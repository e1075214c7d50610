import type {
  BaseResult,
  ConfigReport,
  DecryptImageResult,
  EncryptImageResult,
  ImageReport,
  LayerReport,
  LayerResult,
} from "../image/index.js";
import type { Profile } from "../keywrap/compat.js";
import type { RecipientReport } from "../layer/explain.js";
import { bytes, plural, printable } from "./text.js";

/** The result of `encrypt` as text. */
export function renderEncrypted(result: EncryptImageResult, destination: string): string {
  const lines = [
    `encrypted ${plural(result.layers.length, "layer")}`,
    ...result.layers.map((layer) => layerLine(layer) + (layer.reused ? "  kept from before" : "")),
    ...(result.base ?? []).map(baseLine),
  ];
  return [...lines, `${destination} is ${result.image.digest}`, ""].join("\n");
}

function baseLine({ platform, layers, of }: BaseResult): string {
  const where = platform === "-" ? "" : `${printable(platform)}  `;
  return `  ${where}${String(layers)} of ${String(of)} layers of the base stay plain`;
}

/** The result of `decrypt` as text. */
export function renderDecrypted(result: DecryptImageResult, destination: string): string {
  const lines = result.layers.map((layer) => `${layerLine(layer)}  diffID ${layer.diffId}`);
  const title = `decrypted ${plural(result.layers.length, "layer")}`;
  return [title, ...lines, `${destination} is ${result.image.digest}`, ""].join("\n");
}

/** What happened to the blob of one layer. */
export function layerLine({ platform, index, before, after }: LayerResult): string {
  const where = platform === "-" ? "" : `${printable(platform)}  `;
  return `  ${where}layer ${String(index)}  ${bytes(before.size)}  ${short(before.digest)} -> ${short(after.digest)}`;
}

const READERS: Record<Profile, string> = {
  go: "Go (skopeo, buildah, podman, containerd, CRI-O)",
  coco: "confidential containers",
};

/** The result of `inspect` as text. */
export function renderReport(report: ImageReport): string {
  const lines = [`${report.digest}  ${printable(report.mediaType)}`];
  for (const { platform, digest, layers, config } of report.manifests) {
    const title = platform === "-" ? "manifest" : printable(platform);
    lines.push("", `${title}  ${digest}`);
    for (const layer of layers) lines.push(...layerLines(layer));
    if (config !== undefined) lines.push(...configLines(config));
  }
  return [...lines, ""].join("\n");
}

/** Names only: a value may be the secret. */
function configLines({ env, labels, history, findings }: ConfigReport): string[] {
  const list = (names: readonly string[]): string => printable(names.join(", ") || "none");
  return [
    "  the config is readable to all:",
    `    variables  ${list(env)}`,
    `    labels  ${list(labels)}`,
    `    history  ${String(history)} entries`,
    ...findings.map(({ where, name, index, kind }) => {
      const what = name ?? (index === undefined ? "" : `entry ${String(index)}`);
      return `    looks like a secret: ${where} ${printable(what)} (${kind})`;
    }),
  ];
}

function layerLines(layer: LayerReport): string[] {
  const title = `  layer ${String(layer.index)}  ${bytes(layer.size)}  ${printable(layer.mediaType)}  ${short(layer.digest)}`;
  if (!layer.encrypted) return [`${title}  plain`];
  return [
    title,
    ...layer.recipients.map((each) => `    ${recipientText(each)}`),
    readersLine(layer),
    ...layer.keys.map(keyLine),
  ];
}

function keyLine({ key, opens, scheme, index, reasons }: LayerReport["keys"][number]): string {
  const name = printable(key);
  if (!opens) return `    not with ${name}: ${printable(reasons.join("; "))}`;
  const isKnown = scheme !== undefined && index !== undefined;
  return `    opens with ${name}${isKnown ? ` (${printable(scheme)}:${String(index)})` : ""}`;
}

function readersLine({ readers }: LayerReport): string {
  const able = readers.filter(({ reads }) => reads).map(({ profile }) => READERS[profile]);
  return `    readable by ${able.length === 0 ? "none of the known tools" : able.join(" and ")}`;
}

/** A recipient, its place first as `--recipient-id` takes it. */
export function recipientText(recipient: RecipientReport): string {
  const { scheme, index, algorithm, keyId, problem } = recipient;
  const parts = [`${printable(scheme)}:${String(index)}`];
  if (algorithm !== undefined) parts.push(printable(algorithm));
  if (keyId !== undefined) parts.push(`kid ${printable(keyId)}`);
  if (problem !== undefined) parts.push(`unreadable: ${printable(problem)}`);
  return parts.join("  ");
}

/** Enough of a digest to tell it from others. */
export function short(digest: string): string {
  return digest.slice(0, digest.indexOf(":") + 13);
}
