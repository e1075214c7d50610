import { parseArgs } from "node:util";
import { PROFILES, type Profile } from "../keywrap/compat.js";
import { closest, UsageError } from "./usage-error.js";

export const COMMANDS = ["encrypt", "decrypt", "inspect"] as const;

export type CommandName = (typeof COMMANDS)[number];

/** What a command line asks for. */
export interface CommandLine {
  command: CommandName | undefined;
  images: string[];
  recipients: string[];
  keys: string[];
  layers: number[] | undefined;
  platforms: string[] | undefined;
  compat: Profile;
  keyRings: string[];
  strict: boolean;
  plainHttp: boolean;
  caFile: string | undefined;
  json: boolean;
  quiet: boolean;
  help: boolean;
  version: boolean;
}

const many = { type: "string", multiple: true } as const;
const flag = { type: "boolean" } as const;

/** The long names are imgcrypt's and nerdctl's; those below the line are skopeo's for the same. */
const OPTIONS = {
  recipient: { ...many, short: "r" },
  key: { ...many, short: "k" },
  layer: many,
  platform: many,
  compat: { type: "string" },
  "pgp-key-ring": many,
  strict: flag,
  "plain-http": flag,
  "ca-file": { type: "string" },
  json: flag,
  quiet: { ...flag, short: "q" },
  help: { ...flag, short: "h" },
  version: flag,
  // ---
  "encryption-key": many,
  "decryption-key": many,
  "encrypt-layer": many,
} as const;

const ALLOWED: Record<CommandName, { images: string[]; options: readonly string[] }> = {
  encrypt: {
    images: ["source", "destination"],
    options: [
      ...["recipient", "encryption-key", "layer", "encrypt-layer", "platform"],
      ...["compat", "pgp-key-ring", "strict"],
    ],
  },
  decrypt: {
    images: ["source", "destination"],
    options: ["key", "decryption-key", "layer", "platform"],
  },
  inspect: { images: ["image"], options: ["key", "decryption-key"] },
};

const EVERYWHERE = ["plain-http", "ca-file", "json", "quiet", "help", "version"];

/** @throws {UsageError} */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const { values, positionals } = parse(argv);
  const isHelp = positionals[0] === "help";
  const [name, ...images] = isHelp ? positionals.slice(1) : positionals;
  const command = name === undefined ? undefined : requireCommand(name);
  const line: CommandLine = {
    command,
    images,
    recipients: [...(values.recipient ?? []), ...(values["encryption-key"] ?? [])],
    keys: [...(values.key ?? []), ...(values["decryption-key"] ?? [])],
    layers: layerNumbers([...(values.layer ?? []), ...(values["encrypt-layer"] ?? [])]),
    platforms: values.platform,
    compat: requireProfile(values.compat ?? "go"),
    keyRings: values["pgp-key-ring"] ?? [],
    strict: values.strict ?? false,
    plainHttp: values["plain-http"] ?? false,
    caFile: values["ca-file"],
    json: values.json ?? false,
    quiet: values.quiet ?? false,
    help: isHelp || (values.help ?? false),
    version: values.version ?? false,
  };
  if (command !== undefined && !line.help && !line.version)
    requireFitting(command, line, Object.keys(values));
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
    if (/^-\d+$/.test(argument) && /^--(?:encrypt-)?layer$/.test(previous ?? "")) {
      joined[joined.length - 1] = `${previous ?? ""}=${argument}`;
    } else joined.push(argument);
  }
  return joined;
}

function requireCommand(name: string): CommandName {
  const command = COMMANDS.find((candidate) => candidate === name);
  if (command !== undefined) return command;
  const similar = closest(name, COMMANDS);
  throw new UsageError(
    `there is no command ${name}`,
    similar === undefined ? `the commands are ${COMMANDS.join(", ")}` : `did you mean ${similar}?`,
  );
}

function requireFitting(command: CommandName, line: CommandLine, given: readonly string[]): void {
  const { images, options } = ALLOWED[command];
  const wrong = given.find((name) => !options.includes(name) && !EVERYWHERE.includes(name));
  if (wrong !== undefined)
    throw new UsageError(`${command} has no option --${wrong}`, seeHelp(command));
  if (line.images.length !== images.length) {
    const wanted = images.map((image) => `<${image}>`).join(" ");
    const example = images.length === 1 ? "oci:app:latest" : "oci:app:latest oci:app-new:latest";
    throw new UsageError(
      `${command} takes ${wanted}`,
      `for example: ocicrypt ${command} ${example} …`,
    );
  }
  if (command === "encrypt" && line.recipients.length === 0) {
    throw new UsageError(
      "encrypt needs a recipient",
      "name one with -r, such as -r jwe:public.pem",
    );
  }
  if (command === "decrypt" && line.keys.length === 0) {
    throw new UsageError("decrypt needs a key", "name one with -k, such as -k private.pem");
  }
}

function requireProfile(name: string): Profile {
  const profile = PROFILES.find((candidate) => candidate === name);
  if (profile !== undefined) return profile;
  throw new UsageError(`there is no profile ${name}`, `the profiles are ${PROFILES.join(" and ")}`);
}

function layerNumbers(texts: readonly string[]): number[] | undefined {
  if (texts.length === 0) return undefined;
  return texts.map((text) => {
    if (!/^-?\d{1,9}$/.test(text)) {
      const hint = "layers are counted from 0, or from -1 for the last one: --layer 0 --layer -1";
      throw new UsageError(`${JSON.stringify(text)} is not the number of a layer`, hint);
    }
    return Number(text);
  });
}

function seeHelp(command: CommandName): string {
  return `ocicrypt ${command} --help lists its options`;
}
