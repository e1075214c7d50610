import { parseLayerRange, type LayerRange } from "../image/manifests/select-layers.js";
import { PROFILES, type Profile } from "../keywrap/compat.js";
import { parseDigest } from "../spec/digest.js";
import { mayBeKey } from "./secret-text.js";
import { UsageError } from "./usage-error.js";

function quoted(text: string): string {
  return JSON.stringify(mayBeKey(text) ? "…" : text);
}

export function requireProfile(name: string): Profile {
  const profile = PROFILES.find((candidate) => candidate === name);
  if (profile !== undefined) return profile;
  throw new UsageError(
    `there is no profile ${quoted(name)}`,
    `the profiles are ${PROFILES.join(" and ")}`,
  );
}

export function layerRanges(texts: readonly string[]): (number | LayerRange)[] | undefined {
  if (texts.length === 0) return undefined;
  return texts.map((text) => {
    const range = parseLayerRange(text);
    if (range !== undefined) return requireForwards(text, range);
    const hint = "layers are counted from 0, or from -1 for the last one: --layer 0 --layer -2..-1";
    throw new UsageError(`${quoted(text)} is not the number of a layer`, hint);
  });
}

/** From the same end a range is backwards or not whatever the image; it would select nothing. */
function requireForwards(text: string, range: number | LayerRange): number | LayerRange {
  if (typeof range === "number" || range.from <= range.to) return range;
  if (range.from >= 0 !== range.to >= 0) return range;
  const forwards = `${String(range.to)}..${String(range.from)}`;
  throw new UsageError(`the layers ${text} run backwards`, `write --layer ${forwards}`);
}

/** A digest that is cut short, as in what inspect prints, is that of no layer. */
export function requireDigest(text: string): string {
  try {
    parseDigest(text);
    return text;
  } catch {
    const hint = "whole digests are sha256: and 64 hex digits; ocicrypt inspect --json shows them";
    throw new UsageError(`${quoted(text)} is not a whole digest`, hint);
  }
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

const SIZES = "sizes are bytes, or have KiB, MiB or GiB behind the number: --min-size 10MiB";

export function byteCount(text: string): number {
  const [, digits, unit = ""] = /^(\d{1,12})(KiB|MiB|GiB)?$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (digits !== undefined && factor !== undefined) return Number(digits) * factor;
  throw new UsageError(`${quoted(text)} is not a size`, SIZES);
}
