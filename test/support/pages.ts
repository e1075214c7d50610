import prettier from "prettier";
import {
  COMMAND_TABLE,
  COMMANDS,
  EVERYWHERE,
  GROUPS,
  type CommandName,
} from "../../src/cli/command-table.js";
import { ERROR_SECTIONS, statusOf } from "../../src/cli/errors.js";
import {
  IMAGE_FORMS,
  KEY_FORMS,
  RECIPIENT_FORMS,
  STATUS_FORMS,
  type Form,
} from "../../src/cli/forms.js";
import { optionsOf, optionText, optionTitle, usageOf } from "../../src/cli/help.js";
import { OPTION_NAMES, OPTIONS, type OptionName } from "../../src/cli/options.js";
import type { ErrorCode } from "../../src/errors.js";

/** The pages that are made from the tables of options, commands, forms and errors. */

/** The parts of docs/command.md between `<!-- NAME -->` and `<!-- /NAME -->`. */
const BLOCKS: Readonly<Record<string, () => string>> = {
  commands: () => ["```text", ...COMMANDS.map(usageOf), "```"].join("\n"),
  options: () => table(["option", "command", "meaning"], listed().map(optionRow)),
  images: () => formTable(IMAGE_FORMS),
  recipients: () => formTable(RECIPIENT_FORMS),
  keys: () => formTable(KEY_FORMS),
  statuses: () => formTable(STATUS_FORMS, "status"),
};

/** docs/command.md with its generated parts made anew. */
export async function commandPage(page: string): Promise<string> {
  let result = page;
  for (const [name, make] of Object.entries(BLOCKS)) {
    const block = new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- /${name} -->)`);
    if (!block.test(result)) throw new Error(`docs/command.md has no block ${name}`);
    result = result.replace(
      block,
      (_, start: string, end: string) => `${start}\n${make()}\n\n${end}`,
    );
  }
  return markdown(result);
}

/** docs/errors.md. */
export async function errorsPage(): Promise<string> {
  const sections = ERROR_SECTIONS.map(({ title, texts }) => {
    const rows = Object.entries(texts).map(([code, { meaning, hint }]) => {
      const status = String(statusOf(code as ErrorCode));
      return [`\`${code}\``, meaning, sentence(hint), status];
    });
    return `## ${title}\n\n${table(["code", "meaning", "what to do", "status"], rows)}`;
  });
  return markdown(`# Errors

Every \`OcicryptError\` has one of these codes. The command prints the code in parentheses, followed by a hint, and exits
with the status in the last column. Status 2 also means that the arguments cannot be understood; see
[the command](command.md#exit-status).

${sections.join("\n\n")}
`);
}

/** The manual page, in the macros of man(7). */
export function manPage(version: string): string {
  const commands = COMMANDS.flatMap((command) => [
    `.SS ${roff(command)}`,
    roff(COMMAND_TABLE[command].description),
    ".PP",
    `.B ${roff(usageOf(command))}`,
    ...ownTexts(command),
  ]);
  const options = listed().flatMap((name) => [
    ".TP",
    `.B ${roff(optionTitle(name))}`,
    roff(optionText(name)),
  ]);
  const forms = (title: string, list: readonly Form[]): string[] => [
    `.SH ${title}`,
    ...list.flatMap(({ written, meaning }) => [".TP", `.B ${roff(written)}`, roff(meaning)]),
  ];
  const examples = COMMANDS.flatMap((command) => COMMAND_TABLE[command].examples);
  return [
    `.TH OCICRYPT 1 "" "ocicrypt ${version}"`,
    ".SH NAME",
    "ocicrypt \\- encrypt and decrypt the layers of OCI container images",
    ".SH SYNOPSIS",
    ".B ocicrypt",
    ".I command",
    "[options]",
    ".SH COMMANDS",
    ...commands,
    ".SH OPTIONS",
    ...options,
    ...forms("IMAGES", IMAGE_FORMS),
    ...forms("RECIPIENTS", RECIPIENT_FORMS),
    ...forms("KEYS", KEY_FORMS),
    ...forms("EXIT STATUS", STATUS_FORMS),
    ".SH EXAMPLES",
    ".nf",
    ...examples.map((example) => example.split("\n").map(roff).join("\n")),
    ".fi",
    ".SH SEE ALSO",
    ".BR skopeo (1),",
    ".BR podman (1),",
    ".BR buildah (1)",
    "",
  ].join("\n");
}

function ownTexts(command: CommandName): string[] {
  const names = optionsOf(command).filter((name) => COMMAND_TABLE[command].texts?.[name]);
  return names.flatMap((name) => [
    ".TP",
    `.B ${roff(optionTitle(name))}`,
    roff(optionText(name, command)),
  ]);
}

/** A line of a manual page: hyphens that can be pasted, and no control character at its start. */
function roff(text: string): string {
  const escaped = text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("`", "");
  return escaped.replace(/^[.']/, "\\&$&");
}

/** The options without those of other tools. */
function listed(): OptionName[] {
  return OPTION_NAMES.filter((name) => OPTIONS[name].alias === undefined);
}

function optionRow(name: OptionName): string[] {
  const { see } = OPTIONS[name];
  const link = see === undefined ? "" : `. See [${see.replaceAll("-", " ")}](#${see})`;
  const title = optionTitle(name).replaceAll("|", "\\|");
  return [`\`${title}\``, commandsWith(name), `${optionText(name)}${link}`];
}

/** The commands that take an option, named by what they share. */
function commandsWith(name: OptionName): string {
  if (EVERYWHERE.includes(name) || name === "version") return "all";
  const commands = COMMANDS.filter((command) => optionsOf(command).includes(name));
  const parts = commands.filter((command) => !command.includes(" ")) as string[];
  for (const group of Object.keys(GROUPS)) {
    const all = COMMANDS.filter((command) => command.startsWith(`${group} `));
    const own = all.filter((command) => commands.includes(command));
    if (own.length === all.length) parts.push(group);
    else if (own.length > 0) {
      const actions = own.map((command) => command.slice(group.length + 1));
      parts.push(`${group} ${actions.join(", ")}`);
    }
  }
  return parts.join(", ");
}

function formTable(forms: readonly Form[], title = "written"): string {
  const code = title === "written" ? "`" : "";
  const rows = forms.map(({ written, meaning }) => [`${code}${written}${code}`, meaning]);
  return table([title, "meaning"], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function sentence(text: string): string {
  return `${text.replace(/^[a-z]/, (letter) => letter.toUpperCase())}.`;
}

function markdown(text: string): Promise<string> {
  return prettier.format(text, { parser: "markdown", printWidth: 100 });
}
