import {
  COMMAND_TABLE,
  COMMANDS,
  GROUPS,
  isGroup,
  type CommandForm,
  type CommandName,
  type HelpTopic,
  EVERYWHERE,
  aliasesOf,
} from "./command-table.js";
import { actionsOf } from "./command-words.js";
import { withoutMarks } from "./errors.js";
import { IMAGE_FORMS, KEY_FORMS, RECIPIENT_FORMS, STATUS_FORMS, type Form } from "./forms.js";
import { OPTION_NAMES, OPTIONS, type OptionName } from "./options.js";

const WIDTH = 100;
/** The column at which the meaning of an option or form starts. */
const COLUMN = 29;

/** Returns the help for a command, for a group of commands, or for all commands. */
export function helpText(topic: HelpTopic | undefined): string {
  if (topic === undefined) return generalHelp();
  return isGroup(topic) ? groupHelp(topic) : commandHelp(topic);
}

/** Returns the usage line of a command, without the word `Usage`. */
export function usageOf(command: CommandName): string {
  const { takes, usage, options } = COMMAND_TABLE[command];
  const parts = [`ocicrypt ${command}`, ...takes.map(argumentOf)];
  if (usage !== undefined) parts.push(usage);
  if (options.length > 0) parts.push("[options]");
  return parts.join(" ");
}

/** An argument as usage lines write it: `<image>`, `<file>...`, `[path]`. */
export function argumentOf(name: string): string {
  if (name.startsWith("[")) return name;
  return name.endsWith("...") ? `<${name.slice(0, -3)}>...` : `<${name}>`;
}

/**
 * Returns the options of a command in the order of the table, including the options of every
 * command.
 */
export function optionsOf(command: CommandName): OptionName[] {
  const own: readonly OptionName[] = COMMAND_TABLE[command].options;
  return OPTION_NAMES.filter((name) => own.includes(name) || EVERYWHERE.includes(name));
}

/** An option as help and pages write it: `-r, --recipient RECIPIENT`. */
export function optionTitle(name: OptionName): string {
  const { short, value } = OPTIONS[name];
  const long = `--${name}${value === undefined ? "" : ` ${value}`}`;
  return short === undefined ? long : `-${short}, ${long}`;
}

/** Returns the meaning of an option, which may differ for a command. */
export function optionText(name: OptionName, command?: CommandName): string {
  const { text = "", multiple = false } = OPTIONS[name];
  const own = command === undefined ? undefined : COMMAND_TABLE[command].texts?.[name];
  const aliases = aliasesOf(name).map((alias) => `\`--${alias}\``);
  const notes = [
    ...(multiple ? ["repeatable"] : []),
    ...(aliases.length > 0 ? [`also ${aliases.join(", ")}`] : []),
  ];
  return `${own ?? text}${notes.length > 0 ? ` (${notes.join("; ")})` : ""}`;
}

/** Returns the first words of all commands, each with a summary. */
export function firstWords(): { word: string; summary: string }[] {
  const single = COMMANDS.filter((command) => !command.includes(" "));
  return [
    ...single.map((word) => ({ word, summary: COMMAND_TABLE[word].summary })),
    ...Object.entries(GROUPS).map(([word, text]) => ({
      word,
      summary: text.split(".", 1)[0] ?? "",
    })),
    { word: "help", summary: "describe a command" },
  ];
}

/** Returns the long and short spellings of an option. */
export function spellings(name: OptionName): string[] {
  const short = OPTIONS[name].short;
  return short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`];
}

/** Returns the meaning of an option without the details. */
export function summaryOf(name: OptionName, command: CommandName): string {
  return withoutMarks(optionText(name, command)).split(/[:;(]/, 1)[0]?.trim() ?? "";
}

function generalHelp(): string {
  return page([
    "Usage: ocicrypt <command> [options]",
    paragraph(
      "Encrypts and decrypts the layers of OCI container images, compatible with skopeo, buildah, " +
        "podman, containerd and CRI-O.",
    ),
    section("Commands", COMMANDS.map(commandEntry)),
    section("Examples", [
      "  ocicrypt encrypt oci:app:latest oci:app-enc:latest -r jwe:public.pem",
      "  ocicrypt inspect oci:app-enc:latest",
      "  ocicrypt decrypt oci:app-enc:latest oci:app:latest -k private.pem",
    ]),
    paragraph(
      "ocicrypt <command> --help describes a command. ocicrypt --version prints the version.",
    ),
  ]);
}

function groupHelp(group: keyof typeof GROUPS): string {
  const commands = COMMANDS.filter((command) => command.startsWith(`${group} `));
  const actions = actionsOf(group);
  const takes = commands.map((command) => COMMAND_TABLE[command].takes.map(argumentOf).join(" "));
  const common = takes.every((each) => each === takes[0]) && takes[0] ? ` ${takes[0]}` : "";
  return page([
    `Usage: ocicrypt ${group} ${actions.join("|")}${common} [options]`,
    paragraph(GROUPS[group]),
    section("Commands", commands.map(commandEntry)),
    section(
      "Examples",
      commands.flatMap((command) => examples(COMMAND_TABLE[command]).slice(0, 1)),
    ),
    paragraph(`ocicrypt ${group} ${actions[0] ?? ""} --help describes that command.`),
  ]);
}

function usageLine(command: CommandName): string {
  const line = `Usage: ${usageOf(command)}`;
  return line.length <= WIDTH ? line : line.replace(/ \[options\]$/, "\n  [options]");
}

function commandHelp(command: CommandName): string {
  const form = COMMAND_TABLE[command];
  const has = (name: OptionName): boolean => form.options.includes(name);
  const options = optionsOf(command).filter((name) => OPTIONS[name].alias === undefined);
  const isAboutImages = form.takes.some((name) => /^(?:image|source)/.test(name));
  return page([
    usageLine(command),
    paragraph(form.description),
    section(
      "Options",
      options.map((name) => entry(optionTitle(name), optionText(name, command))),
    ),
    ...(has("recipient") ? [section("Recipients", RECIPIENT_FORMS.map(formEntry))] : []),
    ...(has("key") ? [section("Keys", KEY_FORMS.map(formEntry))] : []),
    ...(isAboutImages ? [section("Images", IMAGE_FORMS.map(formEntry))] : []),
    section("Examples", examples(form)),
    section("Exit status", STATUS_FORMS.map(formEntry)),
  ]);
}

function examples({ examples: lines }: CommandForm): string[] {
  return lines.map((line) => `  ${line}`);
}

function commandEntry(command: CommandName): string {
  return entry(command, COMMAND_TABLE[command].summary);
}

function formEntry({ written, meaning }: Form): string {
  return entry(written, meaning);
}

function section(title: string, entries: readonly string[]): string {
  return [title, ...entries].join("\n");
}

function page(parts: readonly string[]): string {
  return `${withoutMarks(parts.join("\n\n"))}\n`;
}

function paragraph(text: string): string {
  return wrap(withoutMarks(text), WIDTH).join("\n");
}

/** Formats a name with its meaning next to it, or below it if the name is too long. */
function entry(name: string, text: string): string {
  const lines = wrap(withoutMarks(text), WIDTH - COLUMN);
  const title = `  ${name}`;
  const isLong = title.length > COLUMN - 2;
  const beside = isLong ? "" : (lines.shift() ?? "");
  return [
    isLong ? title : title.padEnd(COLUMN) + beside,
    ...lines.map((line) => " ".repeat(COLUMN) + line),
  ].join("\n");
}

/** Breaks a text at spaces into lines of at most `width` characters. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, line];
}
