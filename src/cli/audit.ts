import { auditImage, type AuditedRecipient, type ManifestAudit } from "../image/index.js";
import type { CommandLine } from "./arguments.js";
import { allKeys, type Prepared } from "./command.js";
import { STATUS } from "./errors.js";
import { openSource } from "./images.js";
import {
  readRecipientFiles,
  readRecipientIds,
  recipientNames,
  requireNames,
} from "./recipients.js";
import { printable } from "./text.js";

/** Prepares `audit`, which prints its findings at the end, in the order of the images. */
export async function audit(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  requireNames(line.recipientIds);
  const { keys, warnings } = await allKeys(line, signal);
  const names = await recipientNames(line.recipients);
  const recipients = [
    ...(await readRecipientFiles(line.recipients)),
    ...(await readRecipientIds(line.recipientIds, [])),
  ];
  const given = [...line.recipients, ...line.recipientIds];
  const rows: Row[] = [];
  return {
    warnings,
    async run([image = ""]) {
      const { manifests, missing, ...report } = await auditImage(await openSource(image, line), {
        ...{ keys, recipients, signal },
      });
      const named = manifests.map(({ found, ...manifest }) => ({
        ...manifest,
        found: given.filter((_, i) => (found[i] ?? []).length > 0),
      }));
      for (const manifest of named) rows.push(rowOf(image, manifest, names));
      for (const { platform, digest } of missing ?? []) {
        rows.push([image, platform, digest, "missing", "", "", "", "", ""]);
      }
      const isFinding = named.some(({ plain, found }) => plain.length + found.length > 0);
      return {
        text: "",
        json: { image, ...report, manifests: named, ...(missing && { missing }) },
        warnings: [],
        digest: report.digest,
        ...(isFinding && { status: STATUS.finding }),
      };
    },
    end: () => (line.csv ? csvOf(rows) : tableOf(rows)),
  };
}

/** The cells of one manifest: {@link COLUMNS}. */
type Row = readonly string[];

const COLUMNS = [
  ...["image", "platform", "digest", "state", "layers", "plain layers"],
  ...["recipients", "opened by", "still names"],
];

function rowOf(
  image: string,
  {
    platform,
    digest,
    layers,
    plain,
    recipients,
    keys,
    found,
  }: Omit<ManifestAudit, "found"> & { found: string[] },
  names: ReadonlyMap<string, string>,
): Row {
  const encrypted = layers - plain.length;
  const state = plain.length === 0 ? "encrypted" : encrypted === 0 ? "plain" : "partly encrypted";
  const openedBy = keys.flatMap(({ key, opens }) => {
    if (opens.length === 0) return [];
    return opens.length === encrypted ? [key] : [`${key} (layers ${opens.join(" ")})`];
  });
  return [
    ...[image, platform, digest, layers === 0 ? "no layers" : state, String(layers)],
    plain.join(" "),
    recipients.map((recipient) => nameOf(recipient, names)).join("; "),
    ...[openedBy.join("; "), found.join("; ")],
  ];
}

function nameOf(
  { scheme, keyId, problem }: AuditedRecipient,
  names: ReadonlyMap<string, string>,
): string {
  const file = keyId === undefined ? undefined : names.get(keyId);
  const id = file ?? keyId ?? (problem === undefined ? "unnamed" : "unreadable");
  return `${scheme}:${id}`;
}

function sorted(rows: readonly Row[]): Row[] {
  const key = ([image = "", platform = ""]: Row): string => `${image} ${platform}`;
  return [...rows].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

/** A table for people, without the digests and without empty columns. */
function tableOf(rows: readonly Row[]): string {
  const cells = sorted(rows).map((row) => row.map(printable));
  const shown = COLUMNS.map((_, i) => i).filter(
    (i) => COLUMNS[i] !== "digest" && (i < 4 || cells.some((row) => row[i] !== "")),
  );
  const all = [COLUMNS.map((name) => name.toUpperCase()), ...cells];
  const widths = shown.map((i) =>
    all.reduce((most, row) => Math.max(most, row[i]?.length ?? 0), 0),
  );
  const lines = all.map((row) =>
    shown
      .map((i, column) => (row[i] ?? "").padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}

/** https://www.rfc-editor.org/rfc/rfc4180, with line feeds. */
function csvOf(rows: readonly Row[]): string {
  const header = COLUMNS.map((name) => name.replaceAll(" ", "_"));
  return [header, ...sorted(rows)].map((row) => `${row.map(csvCell).join(",")}\n`).join("");
}

/** Names come from images, and a spreadsheet would run a cell that begins like a formula. */
function csvCell(text: string): string {
  const safe = printable(text).replace(/^(?=[=+@]|-.)/, "'");
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
