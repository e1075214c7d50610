import { type LayerRange, parseLayerRange } from "../image/manifests/select-layers.js";
import { type CompatProfile, PROFILES } from "../keywrap/compat.js";
import { parseDigest } from "../spec/digest.js";
import { MAX_THREADS } from "../spec/limits.js";
import { UsageError } from "./errors.js";
import { foreignHint, similarOption } from "./command-words.js";
import { optionForm, type OptionForm, OPTIONS } from "./options.js";
import { isContent, mayBeKey } from "./text.js";

/** An option as `parseArgs` finds it. */
export interface OptionToken {
  name: string;
  /** The name as it was typed, with its dashes. */
  rawName: string;
  value?: string | undefined;
  inlineValue?: boolean | undefined;
}

/**
 * Rejects an unknown option, a missing value, and a value for a flag. No message quotes a value,
 * which may be a password.
 *
 * @param typed the argument that contains the option
 * @param command the command of the line, for the hint
 * @throws {UsageError}
 */
export function requireUsable(
  token: OptionToken,
  typed: string,
  command: string | undefined,
): void {
  const long = /^-([a-z][a-z-]+)(?:=.*)?$/s.exec(typed)?.[1] ?? "";
  if (optionForm(long) !== undefined) {
    throw new UsageError(`-${long} lacks a dash`, `write --${long}`);
  }
  const { name, rawName, value } = token;
  const form = optionForm(name);
  if (form === undefined) throw unknownOption(rawName, command);
  if (form.type === "boolean") {
    if (value === undefined) return;
    throw new UsageError(`${rawName} takes no value`, `write ${rawName} alone`);
  }
  requireValue(token, form, typed);
}

function requireValue(token: OptionToken, form: OptionForm, typed: string): void {
  const { name, rawName, value } = token;
  const example = `such as ${rawName} ${form.example ?? ""}`;
  const message = `${rawName} needs ${form.what ?? "a value"}`;
  if (value === undefined) throw new UsageError(message, example);
  if (token.inlineValue !== true && /^-./s.test(value)) {
    const hint = `${example}; write --${name}=… for a value that begins with a dash`;
    throw new UsageError(message, hint);
  }
  if (/^-[^-]=/.test(typed)) throw new UsageError(`${rawName} takes its value without =`, example);
}

function unknownOption(rawName: string, command: string | undefined): UsageError {
  const help = `ocicrypt ${command === undefined ? "" : `${command} `}--help`;
  if (isContent(rawName)) {
    const hint = "write the key to a file and name the file, such as -k private.pem";
    return new UsageError("a key is given by its file name, not by its content", hint);
  }
  if (!/^--?\w[\w.-]{0,40}$/.test(rawName)) {
    const hint = `${help} lists the options; put names that begin with a dash after --`;
    return new UsageError("an argument begins with a dash but is not an option", hint);
  }
  const name = rawName.replace(/^-+/, "");
  const foreign = foreignHint(name);
  const similar = name.length > 1 ? similarOption(name, Object.keys(OPTIONS)) : undefined;
  const hint = similar === undefined ? `${help} lists the options` : `did you mean --${similar}?`;
  const isOwn = similar === undefined || Object.hasOwn(OPTIONS, similar);
  const meant = isOwn ? undefined : foreignHint(similar);
  const both = meant === undefined ? hint : `if you mean --${similar ?? ""}: ${meant}`;
  return new UsageError(`there is no option ${rawName}`, foreign ?? both);
}

/** Joins `--layer -1` to `--layer=-1`: `parseArgs` would read `-1` as an option. */
export function joinNegativeNumbers(argv: readonly string[]): string[] {
  const end = argv.indexOf("--");
  const options = end < 0 ? argv : argv.slice(0, end);
  const joined: string[] = [];
  for (const argument of options) {
    const previous = joined.at(-1);
    if (/^-\d/.test(argument) && /^--(?:encrypt-)?layer$/.test(previous ?? "")) {
      joined[joined.length - 1] = `${previous ?? ""}=${argument}`;
    } else joined.push(argument);
  }
  return [...joined, ...argv.slice(options.length)];
}

function quoted(text: string): string {
  return JSON.stringify(mayBeKey(text) ? "…" : text);
}

/** @throws {UsageError} */
export function requireProfile(name: string): CompatProfile {
  const profile = PROFILES.find((candidate) => candidate === name);
  if (profile !== undefined) return profile;
  throw new UsageError(
    `there is no profile ${quoted(name)}`,
    `the profiles are ${PROFILES.join(" and ")}`,
  );
}

/** @throws {UsageError} */
export function layerRanges(texts: readonly string[]): (number | LayerRange)[] | undefined {
  if (texts.length === 0) return undefined;
  const each = texts.flatMap((text) => (/^[-\d.,]+$/.test(text) ? text.split(",") : text));
  return each.map((text) => {
    const range = parseLayerRange(text);
    if (range !== undefined) return requireForwards(text, range);
    const hint = "count layers from 0, or from -1 for the last: --layer 0 --layer -2..-1";
    throw new UsageError(`${quoted(text)} is not a layer number`, hint);
  });
}

/**
 * Rejects a backwards range, which would select nothing. This is only known if both ends count from
 * the same side.
 */
function requireForwards(text: string, range: number | LayerRange): number | LayerRange {
  if (typeof range === "number" || range.from <= range.to) return range;
  if (range.from >= 0 !== range.to >= 0) return range;
  const forwards = `${String(range.to)}..${String(range.from)}`;
  throw new UsageError(`the layer range ${text} runs backwards`, `write --layer ${forwards}`);
}

/**
 * Rejects an abbreviated digest, as `inspect` prints it, because it matches no layer.
 *
 * @throws {UsageError}
 */
export function requireDigest(text: string): string {
  try {
    parseDigest(text);
    return text;
  } catch {
    const hint = "write sha256: and 64 hex digits; ocicrypt inspect --json shows whole digests";
    throw new UsageError(`${quoted(text)} is not a whole digest`, hint);
  }
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

/** Returns a platform as images name it; an architecture alone means Linux. */
export function platformOf(text: string): string {
  const architecture = Object.hasOwn(ARCHITECTURES, text) ? ARCHITECTURES[text] : text;
  return text.includes("/") || architecture === undefined ? text : `linux/${architecture}`;
}

const POWERS = ["", "K", "M", "G", "T"];

/**
 * Returns the bytes of a number with an optional unit: `K`, `Ki` and `KiB` are binary, `KB` is
 * decimal.
 *
 * @throws {UsageError}
 */
export function byteCount(text: string): number {
  const [, digits, unit = "", suffix = ""] =
    /^(\d{1,12}(?:\.\d{1,3})?)([KMGT]?)(i?B?)$/i.exec(text) ?? [];
  const power = POWERS.indexOf(unit.toUpperCase());
  const base = suffix.toLowerCase() === "b" ? 1000 : 1024;
  const count = Math.round(Number(digits) * base ** power);
  const isUsual = unit !== "" || suffix.toLowerCase() !== "i";
  if (digits !== undefined && isUsual && Number.isSafeInteger(count)) return count;
  const hint = "write bytes, or a number with a unit: 10M or 10MiB (binary), 10MB (decimal)";
  throw new UsageError(`${quoted(text)} is not a size`, hint);
}

/** @throws {UsageError} for no bytes at all, or for more than fit in memory */
export function requireChunk(size: number | undefined): number | undefined {
  if (size === undefined || (size >= 1 && size <= MAX_CHUNK)) return size;
  throw new UsageError(
    "the size of --chunk-size must be from 1 byte to 256 MiB",
    "write --chunk-size 5MiB, for example; each upload keeps one chunk in memory",
  );
}

const MAX_CHUNK = 256 * 1024 * 1024;

/** One part of many images; the index is at least 0 and less than `of`. */
export interface Shard {
  index: number;
  of: number;
}

/**
 * Returns the shard of `--shard`, or else the shard of a pod in a Kubernetes Indexed Job.
 * Kubernetes sets only the index; the manifest of the job must repeat the number of completions.
 *
 * @throws {UsageError}
 */
export function shardOf(
  text: string | undefined,
  {
    JOB_COMPLETION_INDEX: index,
    JOB_COMPLETIONS: completions,
  }: Readonly<Record<string, string | undefined>>,
): Shard | undefined {
  const isJob = text === undefined && index !== undefined && completions !== undefined;
  const written = isJob ? `${index}/${completions}` : text;
  if (written === undefined) return undefined;
  const [, first, second] = /^(\d{1,6})\/(\d{1,6})$/.exec(written) ?? [];
  const shard = { index: Number(first), of: Number(second) };
  if (shard.index < shard.of) return shard;
  const what = isJob ? "JOB_COMPLETION_INDEX/JOB_COMPLETIONS" : "--shard";
  const hint = "count shards from 0: with four of them, 0/4 to 3/4";
  throw new UsageError(`${quoted(written)} of ${what} is not a shard`, hint);
}

/** @throws {UsageError} */
export function jobCount(text: string): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count > 0) return count;
  throw new UsageError(`${quoted(text)} is not a number of jobs`, "write 1 to 999");
}

/**
 * @param text of `--threads`; without it, the environment decides
 * @throws {UsageError}
 */
export function threadLimit(
  text: string | undefined,
  { OCICRYPT_THREADS: variable }: Readonly<Record<string, string | undefined>>,
): number | undefined {
  const written = text ?? (variable === "" ? undefined : variable);
  if (written === undefined) return undefined;
  const count = /^\d{1,3}$/.test(written) ? Number(written) : MAX_THREADS + 1;
  if (count <= MAX_THREADS) return count;
  const what = text === undefined ? "OCICRYPT_THREADS" : "--threads";
  const hint = `write 0 to ${String(MAX_THREADS)}; 0 uses one thread for everything`;
  throw new UsageError(`${quoted(written)} of ${what} is not a number of threads`, hint);
}

/** @throws {UsageError} */
export function containerdGeneration(text: string | undefined): "1" | "2" | undefined {
  if (text === undefined || text === "1" || text === "2") return text;
  throw new UsageError(`there is no containerd ${quoted(text)}`, "write --containerd 1 or 2");
}
