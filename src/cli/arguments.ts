import { parseArgs } from "node:util";
import type { LayerRange } from "../image/manifests/select-layers.js";
import type { Profile } from "../keywrap/compat.js";
import {
  COMMAND_TABLE,
  COMMANDS,
  EVERYWHERE,
  type CommandName,
  type HelpTopic,
} from "./command-table.js";
import { byteCount, layerRanges, requireDigest, requireProfile } from "./option-values.js";
import { exampleOf, joinNegativeNumbers, requireUsable, type OptionForm } from "./options.js";
import { withoutSecrets } from "./secret-text.js";
import { closest, UsageError } from "./usage-error.js";

/** What a command line asks for. */
export interface CommandLine {
  command: CommandName | undefined;
  /** What help is about. */
  topic: HelpTopic | undefined;
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

const RECIPIENT = { ...many, what: "a recipient", example: "jwe:public.pem" } as const;
const KEY = { ...many, what: "a key", example: "private.pem" } as const;
const LAYER = { ...many, what: "the number of a layer", example: "0" } as const;
const TAR_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";

/** The long names are imgcrypt's and nerdctl's; those below the line are skopeo's for the same. */
const OPTIONS = {
  recipient: { ...RECIPIENT, short: "r" },
  "recipient-id": { ...many, what: "a recipient's id", example: "jwe:0" },
  key: { ...KEY, short: "k" },
  layer: LAYER,
  platform: { ...many, what: "a platform", example: "linux/amd64" },
  "media-type": { ...many, what: "a media type", example: TAR_GZIP },
  "min-size": { ...one, what: "a size", example: "10MiB" },
  digest: { ...many, what: "a digest", example: "sha256:HEX" },
  compat: { ...one, what: "a profile", example: "go" },
  "pgp-key-ring": { ...many, what: "a file", example: "alice.gpg" },
  strict: flag,
  "skip-base": flag,
  base: { ...one, what: "an image", example: "oci:base:latest" },
  reuse: { ...one, what: "an image", example: "oci:app-enc:latest" },
  "redact-history": flag,
  "require-encrypted": flag,
  "require-recipients": { ...many, what: "a key id or scheme", example: "jwe" },
  config: flag,
  "plain-http": flag,
  "ca-file": { ...one, what: "a file", example: "ca.pem" },
  json: flag,
  quiet: { ...flag, short: "q" },
  help: { ...flag, short: "h" },
  version: flag,
  // ---
  "encryption-key": RECIPIENT,
  "decryption-key": KEY,
  "encrypt-layer": LAYER,
} as const satisfies Record<string, OptionForm>;

/** @throws {UsageError} */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const { values, positionals } = parseOptions(joinNegativeNumbers(argv));
  const isHelp = positionals[0] === "help";
  const words = isHelp ? positionals.slice(1) : positionals;
  const help = isHelp || (values.help ?? false);
  const isGroup = help && words.length === 1 && words[0] === "recipients";
  const { command, images } = splitCommand(isGroup ? [] : words);
  const line: CommandLine = {
    command,
    topic: isGroup ? "recipients" : command,
    images,
    recipients: [...(values.recipient ?? []), ...(values["encryption-key"] ?? [])],
    recipientIds: values["recipient-id"] ?? [],
    keys: [...(values.key ?? []), ...(values["decryption-key"] ?? [])],
    layers: layerRanges([...(values.layer ?? []), ...(values["encrypt-layer"] ?? [])]),
    platforms: values.platform,
    mediaTypes: values["media-type"],
    minSize: values["min-size"] === undefined ? undefined : byteCount(values["min-size"]),
    digests: values.digest?.map(requireDigest),
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
    help,
    version: values.version ?? false,
  };
  if (command !== undefined && !line.help && !line.version) {
    requireFitting(command, line, Object.keys(values));
  }
  return line;
}

function parseOptions(args: string[]) {
  const config = { args, options: OPTIONS, allowPositionals: true } as const;
  // Loosely first, so that mistakes are told in words of our own.
  for (const token of parseArgs({ ...config, strict: false, tokens: true }).tokens) {
    if (token.kind === "option") requireUsable(OPTIONS, token, args[token.index] ?? "");
  }
  return parseArgs(config);
}

const ACTIONS = "write ocicrypt recipients list, add, remove or replace";

function splitCommand(words: readonly string[]): {
  command: CommandName | undefined;
  images: string[];
} {
  const [first, second, ...rest] = words;
  if (first === undefined) return { command: undefined, images: [] };
  if (first !== "recipients") return { command: requireCommand(first), images: words.slice(1) };
  if (second === undefined) throw new UsageError("recipients needs to know what to do", ACTIONS);
  return { command: requireCommand(`${first} ${second}`), images: rest };
}

function requireCommand(name: string): CommandName {
  const command = COMMANDS.find((candidate) => candidate === name);
  if (command !== undefined) return command;
  throw new UsageError(`there is no command ${withoutSecrets(name)}`, commandHint(name));
}

function commandHint(name: string): string {
  if (Object.hasOwn(OPTIONS, name)) return `did you mean --${name}?`;
  const similar =
    COMMANDS.find(
      (command) => command === `recipients ${name}` || `recipients ${command}` === name,
    ) ?? closest(name, [...COMMANDS, "recipients"]);
  if (similar !== undefined) return `did you mean ${similar}?`;
  return name.startsWith("recipients ") ? ACTIONS : `the commands are ${COMMANDS.join(", ")}`;
}

function requireFitting(command: CommandName, line: CommandLine, given: readonly string[]): void {
  const { options, needs = [] } = COMMAND_TABLE[command];
  const wrong = given.find((name) => !options.includes(name) && !EVERYWHERE.includes(name));
  if (wrong !== undefined) {
    throw new UsageError(`${command} has no option --${wrong}`, seeHelp(command));
  }
  requireImages(command, line.images.length);
  const missing = needs.find((need) => !need.options.some((option) => given.includes(option)));
  if (missing !== undefined) {
    throw new UsageError(`${command} needs ${missing.what}`, missing.hint);
  }
  if (command === "encrypt" && line.reuse === undefined && line.keys.length > 0) {
    const hint = "to decrypt, name a key with ocicrypt decrypt -k; to encrypt, a recipient with -r";
    throw new UsageError("encrypt takes keys only to open the image of --reuse", hint);
  }
}

function requireImages(command: CommandName, count: number): void {
  const { images, needs = [] } = COMMAND_TABLE[command];
  if (count === images.length) return;
  const wanted = images.map((image) => `<${image}>`).join(" ");
  const given =
    count === 0 ? "none is given" : `${String(count)} ${count === 1 ? "is" : "are"} given`;
  const example = [
    `ocicrypt ${command}`,
    images.length === 1 ? "oci:app:latest" : "oci:app:latest oci:app-new:latest",
    ...needs.map(({ options: [name = ""] }) => exampleOf(OPTIONS, name)),
  ];
  const more = count > images.length ? "; each value of an option has the option before it" : "";
  throw new UsageError(
    `${command} takes ${wanted}, and ${given}`,
    `for example: ${example.join(" ")}${more}`,
  );
}

function seeHelp(command: CommandName): string {
  return `ocicrypt ${command} --help lists its options`;
}
