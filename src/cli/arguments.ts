import { parseArgs } from "node:util";
import type { LayerRange } from "../image/manifests/select-layers.js";
import type { CompatProfile } from "../keywrap/compat.js";
import type { PasswordCredentials } from "../registry/index.js";
import {
  aliasesOf,
  COMMAND_TABLE,
  EVERYWHERE,
  isGroup,
  type CommandName,
  type HelpTopic,
} from "./command-table.js";
import { UsageError } from "./errors.js";
import {
  byteCount,
  containerdGeneration,
  jobCount,
  joinNegativeNumbers,
  layerRanges,
  platformOf,
  requireChunk,
  requireDigest,
  requireProfile,
  requireUsable,
  type Shard,
  shardOf,
  threadLimit,
} from "./option-values.js";
import { commandOf, foreignHint, splitCommand } from "./command-words.js";
import { argumentOf } from "./help.js";
import type { Journal } from "./journal.js";
import { OPTIONS, type OptionName } from "./options.js";

/** A parsed command line. */
export interface CommandLine {
  command: CommandName | undefined;
  /** The topic of the help to print. */
  topic: HelpTopic | undefined;
  /** The arguments that are not options, such as images. */
  images: string[];
  recipients: string[];
  recipientIds: string[];
  kid: string | undefined;
  keys: string[];
  layers: (number | LayerRange)[] | undefined;
  platforms: string[] | undefined;
  mediaTypes: string[] | undefined;
  minSize: number | undefined;
  digests: string[] | undefined;
  compat: CompatProfile;
  keyRings: string[];
  /** The file with the settings of key servers. */
  keyServers: string | undefined;
  /** The address at which a key provider listens. */
  listen: string | undefined;
  /** The generation of containerd. */
  containerd: "1" | "2" | undefined;
  /** The directory under which the files of a node are. */
  root: string | undefined;
  runtimeConfig: string | undefined;
  /** The directories that `keys sync` makes equal. */
  from: string | undefined;
  to: string | undefined;
  watch: boolean;
  strict: boolean;
  skipBase: boolean;
  base: string | undefined;
  reuse: string | undefined;
  redactHistory: boolean;
  requireEncrypted: boolean;
  requireRecipients: string[] | undefined;
  requireBound: boolean;
  /** Files of public keys: one must verify a signature of the source. */
  verifySignature: string[];
  /** Whether the source must be named by its digest. */
  requireDigest: boolean;
  allowUnverified: boolean;
  bind: boolean;
  checkServers: boolean;
  config: boolean;
  plainHttp: boolean;
  caFile: string | undefined;
  authFile: string | undefined;
  credsStdin: boolean;
  username: string | undefined;
  passwordStdin: boolean;
  /** The credentials that were read because of `credsStdin`. */
  credentials?: PasswordCredentials;
  /** The journal of a command that writes many images. */
  journal?: Journal | undefined;
  /** Bytes in each request of an upload. */
  chunkSize: number | undefined;
  /** Copy signatures and other artifacts beside the destination. */
  keepReferrers: boolean;
  digestFile: string | undefined;
  allTags: boolean;
  /** The number of images that are processed at once. */
  jobs: number;
  shard: Shard | undefined;
  /** The most threads beside the first. */
  threads: number | undefined;
  csv: boolean;
  long: boolean;
  recursive: boolean;
  artifactType: string | undefined;
  output: string;
  debug: boolean;
  json: boolean;
  quiet: boolean;
  help: boolean;
  version: boolean;
}

/**
 * Parses the arguments of the command.
 *
 * @throws {UsageError}
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const { values, positionals } = parseOptions(joinNegativeNumbers(argv));
  const flag = (name: OptionName): boolean => values[name] === true;
  const one = (name: OptionName): string | undefined => many(name)[0];
  const many = (name: OptionName): string[] =>
    [name, ...aliasesOf(name)]
      .flatMap((each) => values[each])
      .filter((value) => typeof value === "string");
  const any = (name: OptionName): string[] | undefined =>
    values[name] === undefined ? undefined : many(name);

  const isHelp = positionals[0] === "help";
  const words = isHelp ? positionals.slice(1) : positionals;
  const [first = ""] = words;
  const group = (isHelp || flag("help")) && words.length === 1 && isGroup(first) && first;
  const { command, images } = splitCommand(group ? [] : words);
  const size = (name: OptionName): number | undefined => {
    const text = one(name);
    return text === undefined ? undefined : byteCount(text);
  };
  const line: CommandLine = {
    command,
    topic: group || command,
    images,
    recipients: many("recipient"),
    recipientIds: many("recipient-id"),
    kid: one("kid"),
    keys: many("key"),
    layers: layerRanges(many("layer")),
    platforms: any("platform")?.map(platformOf),
    mediaTypes: any("media-type"),
    minSize: size("min-size"),
    digests: any("digest")?.map(requireDigest),
    compat: requireProfile(one("compat") ?? "go"),
    keyRings: many("pgp-key-ring"),
    keyServers: one("key-servers"),
    listen: one("listen"),
    containerd: containerdGeneration(one("containerd")),
    root: one("root"),
    runtimeConfig: one("runtime-config"),
    from: one("from"),
    to: one("to"),
    watch: flag("watch"),
    strict: flag("strict"),
    skipBase: flag("skip-base"),
    base: one("base"),
    reuse: one("reuse"),
    redactHistory: flag("redact-history"),
    requireEncrypted: flag("require-encrypted"),
    requireRecipients: any("require-recipients"),
    requireBound: flag("require-bound"),
    verifySignature: many("verify-signature"),
    requireDigest: flag("require-digest"),
    allowUnverified: flag("allow-unverified"),
    bind: !flag("no-bind"),
    checkServers: flag("check-servers"),
    config: flag("config"),
    plainHttp: flag("plain-http"),
    caFile: one("ca-file"),
    authFile: one("authfile"),
    credsStdin: flag("creds-stdin"),
    username: one("username"),
    passwordStdin: flag("password-stdin"),
    chunkSize: requireChunk(size("chunk-size")),
    keepReferrers: flag("keep-referrers"),
    digestFile: one("digestfile"),
    allTags: flag("all-tags"),
    jobs: jobCount(one("jobs") ?? "4"),
    shard: undefined,
    threads: threadLimit(one("threads"), process.env),
    csv: flag("csv"),
    long: flag("long"),
    recursive: flag("recursive"),
    artifactType: one("artifact-type"),
    output: one("output") ?? ".",
    debug: flag("debug"),
    json: flag("json"),
    quiet: flag("quiet"),
    help: isHelp || flag("help"),
    version: flag("version"),
  };
  line.shard = shardOf(one("shard"), isMany(line) ? process.env : {});
  if (command !== undefined && !line.help && !line.version) {
    requireFitting(command, line, Object.keys(values) as OptionName[]);
  }
  return line;
}

interface ParsedOptions {
  values: Partial<Record<OptionName, unknown>>;
  positionals: string[];
}

function parseOptions(args: string[]): ParsedOptions {
  const config = { args, options: OPTIONS, allowPositionals: true } as const;
  // Not strict at first, so that mistakes get our own messages.
  const loose = parseArgs({ ...config, strict: false, tokens: true });
  const command = commandOf(loose.positionals);
  for (const token of loose.tokens) {
    if (token.kind === "option") requireUsable(token, args[token.index] ?? "", command);
  }
  return parseArgs(config);
}

function requireFitting(
  command: CommandName,
  line: CommandLine,
  given: readonly OptionName[],
): void {
  const { options, needs = [] } = COMMAND_TABLE[command];
  const wrong = given.find((name) => !options.includes(name) && !EVERYWHERE.includes(name));
  if (wrong !== undefined) {
    throw new UsageError(
      `${command} has no option --${wrong}`,
      foreignHint(wrong) ?? seeHelp(command),
    );
  }
  requireImages(command, line, given);
  const missing = needs.find((need) => !need.options.some((option) => given.includes(option)));
  if (missing !== undefined) {
    throw new UsageError(`${command} needs ${missing.what}`, missing.hint);
  }
  if (line.csv && line.json) throw new UsageError("--csv and --json cannot be combined");
  if (command === "encrypt" && line.reuse === undefined && line.keys.length > 0) {
    const hint = "to decrypt, name a key with ocicrypt decrypt -k; to encrypt, a recipient with -r";
    throw new UsageError("encrypt takes keys only to open the image of --reuse", hint);
  }
}

/** Whether a command line names the images on standard input, or all tags of a repository. */
export function isMany({ command, images, allTags }: CommandLine): boolean {
  if (command === "audit") return true;
  if (command === undefined || !COMMAND_TABLE[command].options.includes("all-tags")) return false;
  return allTags || (images.length === 1 && images[0] === "-");
}

function requireImages(
  command: CommandName,
  line: CommandLine,
  given: readonly OptionName[],
): void {
  const { takes, examples } = COMMAND_TABLE[command];
  const { length: count } = line.images;
  if (isMany(line)) {
    if (line.digestFile !== undefined) {
      const hint = "use --json, which prints the digest of each image";
      throw new UsageError("--digestfile takes the digest of one image only", hint);
    }
    if (line.images[0] === "-" && count === 1) return;
  } else {
    const wrong = (["jobs", "shard"] as const).find((name) => given.includes(name));
    if (wrong !== undefined) {
      const hint = "add --all-tags, or write - and name the images on standard input";
      throw new UsageError(`--${wrong} is for many images`, hint);
    }
  }
  const isOpen = takes.at(-1)?.endsWith("...") === true;
  const least = takes.filter((name) => !name.startsWith("[")).length;
  if (isOpen ? count >= takes.length : count >= least && count <= takes.length) return;
  const wanted = takes.map(argumentOf).join(" ") || "no argument";
  const got = count === 0 ? "got none" : `got ${String(count)}`;
  const more = count > takes.length ? "; repeat an option for each of its values" : "";
  throw new UsageError(
    `${command} takes ${wanted}, ${got}`,
    `for example: ${examples[0] ?? ""}${more}`,
  );
}

function seeHelp(command: CommandName): string {
  return `ocicrypt ${command} --help lists its options`;
}
