import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { DIRECTIONS, type Direction } from "./cells.js";
import { nameOf, type Peer } from "./columns.js";
import type { Limit } from "./limits.js";
import type { Scheme } from "./schemes.js";

export type Outcome = "works" | "failed" | "not run" | Limit;

const PAGE = fileURLToPath(new URL("../../../docs/interop.md", import.meta.url));
const MARKED = /(?<=<!-- matrix -->\n).*?(?=<!-- \/matrix -->)/s;

/** The matrix as Markdown, followed by the reasons for its gaps. */
export async function table(
  schemes: readonly Scheme[],
  peers: readonly Peer[],
  outcomeOf: (peer: Peer, scheme: Scheme, direction: Direction) => Outcome,
): Promise<string> {
  const reasons: string[] = [];
  function text(outcome: Outcome): string {
    if (outcome === "works") return "yes";
    if (typeof outcome === "string") return outcome;
    if (!reasons.includes(outcome.reason)) reasons.push(outcome.reason);
    return `no (${String(reasons.indexOf(outcome.reason) + 1)})`;
  }
  function cell(peer: Peer, scheme: Scheme): string {
    if (peer.rows?.test(scheme.name) === false) return "";
    const [reads, writes] = DIRECTIONS.map((direction) => text(outcomeOf(peer, scheme, direction)));
    return reads === writes ? reads! : `${reads!} / ${writes!}`;
  }
  const rows = [
    ["", ...peers.map(nameOf)],
    ["", ...peers].map(() => "---"),
    ...schemes.map((scheme) => [scheme.name, ...peers.map((peer) => cell(peer, scheme))]),
  ];
  const date = new Date().toISOString().slice(0, 10);
  const lines = [
    `Run on ${date}. A single answer applies to both directions. Of two answers, the first says whether`,
    "the peer opens what this library wrote, the second whether this library opens what the peer wrote.",
    "",
    ...rows.map((row) => `| ${row.join(" | ")} |`),
    "",
    ...reasons.map((reason, index) => `${String(index + 1)}. ${reason}.`),
  ];
  return format(`${lines.join("\n")}\n`, { ...(await resolveConfig(PAGE)), parser: "markdown" });
}

/** Writes the matrix between its markers in the documentation. */
export function updatePage(markdown: string): void {
  const page = readFileSync(PAGE, "utf8");
  if (!MARKED.test(page)) throw new Error(`${PAGE} has no markers for the matrix`);
  writeFileSync(
    PAGE,
    page.replace(MARKED, () => `\n${markdown}\n`),
  );
}
