import { parseArgs } from "node:util";
import { parseLayerRange, type LayerRange } from "../image/layer-range.js";
import { PROFILES, type Profile } from "../keywrap/compat.js";
import { COMMAND_TABLE, COMMANDS, EVERYWHERE, type CommandName } from "./command-table.js";
import { closest, UsageError } from "./usage-error.js";

/** What a command line asks for. */
export interface CommandLine {
  command: CommandName | undefined;
  images: string[];
  recipients: string[];
  recipientIds: string[];
  keys: string[];
  layers: (number | LayerRange)[] | undefined;
  platforms: string[] | undefined;
  mediaTypes: string[] | undefined;
  minSize: number | undefined;
  digests: string[] | undefined;
  compat: Profile;
  keyRings: string[];
  strict: boolean;
  skipBase: boolean;
  base: string | undefined;
  reuse: string | undefined;
  redactHistory: boolean;
  requireEncrypted: boolean;
  requireRecipients: string[] | undefined;
  config: boolean;
  plainHttp: boolean;
  caFile: string | undefined;
  json: boolean;
  quiet: boolean;
  help: boolean;
  version: boolean;
}

const many = { type: "string", multiple: true } as const;
const one = { type: "string" } as const;
const flag = { type: "boolean" } as const;

/** The long names are imgcrypt's and nerdctl's; those below the line are skopeo's for the same. */
const OPTIONS = {
  recipient: { ...many, short: "r" },
  "recipient-id": many,
  key: { ...many, short: "k" },
  layer: many,
  platform: many,
  "media-type": many,
  "min-size": one,
  digest: many,
  compat: one,
  "pgp-key-ring": many,
  strict: flag,
  "skip-base": flag,
  base: one,
  reuse: one,
  "redact-history": flag,
  "require-encrypted": flag,
  "require-recipients": many,
  config: flag,
  "plain-http": flag,
  "ca-file": one,
  json: flag,
  quiet: { ...flag, short: "q" },
  help: { ...flag, short: "h" },
  version: flag,
  // ---
  "encryption-key": many,
  "decryption-key": many,
  "encrypt-layer": many,
} as const;

/** @throws {UsageError} */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const { values, positionals } = parse(argv);
  const isHelp = positionals[0] === "help";
  const { command, images } = splitCommand(isHelp ? positionals.slice(1) : positionals);
  const line: CommandLine = {
    command,
    images,
    recipients: [...(values.recipient ?? []), ...(values["encryption-key"] ?? [])],
    recipientIds: values["recipient-id"] ?? [],
    keys: [...(values.key ?? []), ...(values["decryption-key"] ?? [])],
    layers: layerRanges([...(values.layer ?? []), ...(values["encrypt-layer"] ?? [])]),
    platforms: values.platform,
    mediaTypes: values["media-type"],
    minSize: values["min-size"] === undefined ? undefined : byteCount(values["min-size"]),
    digests: values.digest,
    compat: requireProfile(values.compat ?? "go"),
    keyRings: values["pgp-key-ring"] ?? [],
    strict: values.strict ?? false,
    skipBase: values["skip-base"] ?? false,
    base: values.base,
    reuse: values.reuse,
    redactHistory: values["redact-history"] ?? false,
    requireEncrypted: values["require-encrypted"] ?? false,
    requireRecipients: values["require-recipients"],
    config: values.config ?? false,
    plainHttp: values["plain-http"] ?? false,
    caFile: values["ca-file"],
    json: values.json ?? false,
    quiet: values.quiet ?? false,
    help: isHelp || (values.help ?? false),
    version: values.version ?? false,
  };
  if (command !== undefined && !line.help && !line.version) {
    requireFitting(command, line, Object.keys(values));
  }
  return line;
}

function parse(argv: readonly string[]): ReturnType<typeof parseOptions> {
  try {
    return parseOptions(joinNegativeNumbers(argv));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const option = /^Unknown option '(-[^']*)'/.exec(error.message)?.[1];
    if (option === undefined) throw new UsageError(error.message.split("\n", 1)[0] ?? "");
    const similar = closest(option.replace(/^-+/, ""), Object.keys(OPTIONS));
    throw new UsageError(
      `there is no option ${option}`,
      similar === undefined ? "ocicrypt --help lists the options" : `did you mean --${similar}?`,
    );
  }
}

function parseOptions(args: string[]) {
  return parseArgs({ args, options: OPTIONS, allowPositionals: true });
}

/** `--layer -1` is what people write, and what `parseArgs` takes for an option called `-1`. */
function joinNegativeNumbers(argv: readonly string[]): string[] {
  const joined: string[] = [];
  for (const argument of argv) {
    const previous = joined.at(-1);
    if (/^-\d/.test(argument) && /^--(?:encrypt-)?layer$/.test(previous ?? "")) {
      joined[joined.length - 1] = `${previous ?? ""}=${argument}`;
    } else joined.push(argument);
  }
  return joined;
}

function splitCommand(words: readonly string[]): {
  command: CommandName | undefined;
  images: string[];
} {
  const [first, second, ...rest] = words;
  if (first === undefined) return { command: undefined, images: [] };
  if (first !== "recipients") return { command: requireCommand(first), images: words.slice(1) };
  if (second === undefined) {
    const actions = "ocicrypt recipients list, add, remove or replace";
    throw new UsageError("recipients needs to know what to do", `write ${actions}`);
  }
  return { command: requireCommand(`${first} ${second}`), images: rest };
}

function requireCommand(name: string): CommandName {
  const command = COMMANDS.find((candidate) => candidate === name);
  if (command !== undefined) return command;
  const similar = closest(name, [...COMMANDS, "recipients"]);
  throw new UsageError(
    `there is no command ${name}`,
    similar === undefined ? `the commands are ${COMMANDS.join(", ")}` : `did you mean ${similar}?`,
  );
}

function requireFitting(command: CommandName, line: CommandLine, given: readonly string[]): void {
  const { images, options, needs = [] } = COMMAND_TABLE[command];
  const wrong = given.find((name) => !options.includes(name) && !EVERYWHERE.includes(name));
  if (wrong !== undefined) {
    throw new UsageError(`${command} has no option --${wrong}`, seeHelp(command));
  }
  if (line.images.length !== images.length) {
    const wanted = images.map((image) => `<${image}>`).join(" ");
    const example = images.length === 1 ? "oci:app:latest" : "oci:app:latest oci:app-new:latest";
    const hint = `for example: ocicrypt ${command} ${example} …`;
    throw new UsageError(`${command} takes ${wanted}`, hint);
  }
  const missing = needs.find((need) => !need.options.some((option) => given.includes(option)));
  if (missing !== undefined) {
    throw new UsageError(`${command} needs ${missing.what}`, missing.hint);
  }
  if (command === "encrypt" && line.reuse === undefined && line.keys.length > 0) {
    const hint = "to decrypt, name a key with ocicrypt decrypt -k; to encrypt, a recipient with -r";
    throw new UsageError("encrypt takes keys only to open the image of --reuse", hint);
  }
}

function requireProfile(name: string): Profile {
  const profile = PROFILES.find((candidate) => candidate === name);
  if (profile !== undefined) return profile;
  throw new UsageError(`there is no profile ${name}`, `the profiles are ${PROFILES.join(" and ")}`);
}

function layerRanges(texts: readonly string[]): (number | LayerRange)[] | undefined {
  if (texts.length === 0) return undefined;
  return texts.map((text) => {
    const range = parseLayerRange(text);
    if (range !== undefined) return range;
    const hint = "layers are counted from 0, or from -1 for the last one: --layer 0 --layer -2..-1";
    throw new UsageError(`${JSON.stringify(text)} is not the number of a layer`, hint);
  });
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

function byteCount(text: string): number {
  const [, digits, unit = ""] = /^(\d{1,12})(KiB|MiB|GiB)?$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (digits !== undefined && factor !== undefined) return Number(digits) * factor;
  throw new UsageError(`${JSON.stringify(text)} is not a size`, "write --min-size 10MiB");
}

function seeHelp(command: CommandName): string {
  return `ocicrypt ${command} --help lists its options`;
}
