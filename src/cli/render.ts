import type {
  BaseResult,
  ConfigReport,
  DecryptImageResult,
  EditRecipientsResult,
  EncryptImageResult,
  ImageRecipients,
  ImageReport,
  LayerReport,
  LayerResult,
} from "../image/index.js";
import type { CompatProfile } from "../keywrap/compat.js";
import type { RecipientInfo } from "../keywrap/types.js";
import type { RecipientReport } from "../layer/explain.js";
import { bytes, plural, printable } from "./text.js";

/** The result of `encrypt` as text. */
export function renderEncrypted(result: EncryptImageResult, destination: string): string {
  const lines = [
    `encrypted ${plural(result.layers.length, "layer")}`,
    ...result.layers.map((layer) => layerLine(layer) + (layer.reused ? "  reused" : "")),
    ...(result.base ?? []).map(baseLine),
  ];
  return [...lines, `${destination} is ${result.image.digest}`, ""].join("\n");
}

function baseLine({ platform, layers, of }: BaseResult): string {
  const where = platform === "-" ? "" : `${printable(platform)}  `;
  return `  ${where}${String(layers)} of ${String(of)} base layers stay plain`;
}

/** The artifacts that were copied beside an image, as text. */
export function renderKept({ referrers }: { referrers?: readonly string[] }): string {
  if (referrers === undefined) return "";
  const names = referrers.map((name) => `  ${printable(name)}\n`);
  return `copied ${plural(referrers.length, "artifact")} beside it\n${names.join("")}`;
}

/** The result of `decrypt` as text. */
export function renderDecrypted(result: DecryptImageResult, destination: string): string {
  const lines = result.layers.map(
    (layer) => `${layerLine(layer)}  diffID ${printable(layer.diffId)}`,
  );
  const title = `decrypted ${plural(result.layers.length, "layer")}`;
  return [title, ...lines, `${destination} is ${result.image.digest}`, ""].join("\n");
}

/** The change to the blob of one layer. */
function layerLine({ platform, index, before, after }: LayerResult): string {
  const where = platform === "-" ? "" : `${printable(platform)}  `;
  return `  ${where}layer ${String(index)}  ${bytes(before.size)}  ${short(before.digest)} -> ${short(after.digest)}`;
}

const READERS: Record<CompatProfile, string> = {
  go: "Go (skopeo, buildah, podman, containerd, CRI-O)",
  coco: "confidential containers",
};

/** The result of `inspect` as text. */
export function renderReport(report: ImageReport, names?: ReadonlyMap<string, string>): string {
  const lines = [`${report.digest}  ${printable(report.mediaType)}`];
  for (const { platform, digest, layers, config } of report.manifests) {
    const title = platform === "-" ? "manifest" : printable(platform);
    lines.push("", `${title}  ${digest}`);
    for (const layer of layers) lines.push(...layerLines(layer, names));
    if (config !== undefined) lines.push(...configLines(config));
  }
  for (const { platform, digest } of report.missing ?? []) {
    lines.push("", `${printable(platform)}  ${digest}  missing`);
  }
  return [...lines, ""].join("\n");
}

/** Prints names only: a value may be secret. */
function configLines({ env, labels, history, findings }: ConfigReport): string[] {
  const list = (names: readonly string[]): string => printable(names.join(", ") || "none");
  return [
    "  the config is readable by everyone:",
    `    variables  ${list(env)}`,
    `    labels  ${list(labels)}`,
    `    history  ${String(history)} entries`,
    ...findings.map(({ where, name, index, kind }) => {
      const what = name ?? (index === undefined ? "" : `entry ${String(index)}`);
      return `    looks like a secret: ${where} ${printable(what)} (${kind})`;
    }),
  ];
}

function layerLines(layer: LayerReport, names?: ReadonlyMap<string, string>): string[] {
  const title = `  layer ${String(layer.index)}  ${bytes(layer.size)}  ${printable(layer.mediaType)}  ${short(layer.digest)}`;
  if (!layer.encrypted) return [`${title}  plain`];
  return [
    title,
    ...layer.recipients.flatMap((each) => recipientLines(each, names)),
    readersLine(layer),
    ...layer.keys.map(keyLine),
    ...(layer.servers ?? []).map(serverLine),
  ];
}

const BINDINGS = {
  bound: "bound to this image",
  none: "not bound to an image",
  mismatch: "bound to another image",
};

function keyLine(report: LayerReport["keys"][number]): string {
  const { key, opens, scheme, index, binding, reasons } = report;
  const name = printable(key);
  if (!opens) return `    not with ${name}: ${printable(reasons.join("; "))}`;
  const isKnown = scheme !== undefined && index !== undefined;
  const place = isKnown ? ` (${printable(scheme)}:${String(index)})` : "";
  const line = `    opens with ${name}${place}`;
  return binding === undefined ? line : `${line}\n      ${BINDINGS[binding]}`;
}

const SERVER_STATES = {
  current: "has the key",
  old: "has newer keys: wrap the layer again with recipients replace",
  gone: "no longer has the key",
  unknown: "cannot be asked",
};

function serverLine(report: NonNullable<LayerReport["servers"]>[number]): string {
  const { scheme, index, server, state, reason } = report;
  const why = reason === undefined ? "" : `: ${printable(reason)}`;
  return `    ${printable(server)} ${SERVER_STATES[state]}${why} (${printable(scheme)}:${String(index)})`;
}

function readersLine({ readers }: LayerReport): string {
  const able = readers
    .filter(({ reads }) => reads)
    .map(({ profile, providers = [] }) => {
      if (providers.length === 0) return READERS[profile];
      return `${READERS[profile]} with the key provider ${providers.map(printable).join(" or ")}`;
    });
  return `    readable by ${able.length === 0 ? "no known tool" : able.join(" and ")}`;
}

function recipientLines(
  recipient: RecipientReport,
  names: ReadonlyMap<string, string> | undefined,
): string[] {
  const { warnings = [] } = recipient;
  const lines = warnings.map((text) => `      warning: ${printable(text)}`);
  return [`    ${recipientText(recipient, names)}`, ...lines];
}

/** A recipient after its position, as `--recipient-id` takes it. */
function recipientText(recipient: RecipientReport, names?: ReadonlyMap<string, string>): string {
  const { scheme, index, algorithm, keyId, problem } = recipient;
  const parts = [`${printable(scheme)}:${String(index)}`];
  if (algorithm !== undefined) parts.push(printable(algorithm));
  if (keyId !== undefined) parts.push(`kid ${printable(keyId)}`);
  parts.push(...serverTexts(recipient));
  const name = names?.get(keyId ?? "");
  if (name !== undefined) parts.push(`(${printable(name)})`);
  if (problem !== undefined) parts.push(`unreadable: ${printable(problem)}`);
  return parts.join("  ");
}

/** The facts about a key server, its parts and the safety of a recipient. */
function serverTexts({
  server,
  threshold,
  parts = [],
  postQuantum,
}: Partial<RecipientInfo>): string[] {
  const needed = `${String(threshold ?? parts.length)} of ${String(parts.length)}`;
  return [
    ...(server === undefined ? [] : [`at ${printable(server)}`]),
    ...(parts.length === 0 ? [] : [`${needed}: ${parts.map(partText).join(", ")}`]),
    ...(postQuantum === undefined ? [] : [postQuantum ? "post-quantum" : "not post-quantum"]),
  ];
}

function partText(part: RecipientInfo): string {
  const key = part.keyId === undefined ? [] : [`kid ${printable(part.keyId)}`];
  return `(${[printable(part.algorithm), ...key, ...serverTexts(part)].join(" ")})`;
}

/** The first 12 hex digits of a digest: enough to tell layers apart. */
function short(digest: string): string {
  return digest.slice(0, digest.indexOf(":") + 13);
}

/** The result of `recipients list` as text. */
export function renderRecipients(
  { digest, layers }: ImageRecipients,
  names?: ReadonlyMap<string, string>,
): string {
  if (layers.length === 0) return `no layer is encrypted\n`;
  const lines = layers.flatMap((layer) => [
    layerTitle(layer),
    ...layer.recipients.flatMap((recipient) => recipientLines(recipient, names)),
  ]);
  return [digest, ...lines, ""].join("\n");
}

/** The result of `recipients add`, `remove` or `replace` as text. */
export function renderEdited(result: EditRecipientsResult, image: string): string {
  const { layers, changed } = result;
  const lines = layers.flatMap((layer) => [
    layerTitle(layer),
    ...layer.removed.map((recipient) => `    removed  ${recipientText(recipient)}`),
    ...layer.added.map((recipient) => `    added  ${recipientText(recipient)}`),
    ...layer.present.map((recipient) => `    already present  ${recipientText(recipient)}`),
    ...layer.kept.map((recipient) => `    kept  ${recipientText(recipient)}`),
  ]);
  const title = changed
    ? `changed the recipients of ${plural(layers.filter(isChanged).length, "layer")}`
    : "nothing to change";
  return [title, ...lines, `${image} is ${result.image.digest}`, ""].join("\n");
}

/** The result of `rotate` as text. */
export function renderRotated(result: EncryptImageResult, destination: string): string {
  const title = `gave ${plural(result.layers.length, "layer")} a new key`;
  const lines = result.layers.map(layerLine);
  return [title, ...lines, `${destination} is ${result.image.digest}`, ""].join("\n");
}

function isChanged({ added, removed }: EditRecipientsResult["layers"][number]): boolean {
  return added.length + removed.length > 0;
}

function layerTitle(layer: { platform: string; index: number; digest: string }): string {
  const where = layer.platform === "-" ? "" : `${printable(layer.platform)}  `;
  return `  ${where}layer ${String(layer.index)}  ${short(layer.digest)}`;
}
