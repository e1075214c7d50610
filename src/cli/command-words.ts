import { KEY_SERVER_NAMES } from "../keyserver/index.js";
import { RUNTIMES } from "../runtime/runtimes.js";
import { COMMANDS, GROUPS, isGroup, type CommandName } from "./command-table.js";
import { closest, UsageError } from "./errors.js";
import { OPTIONS, type Completion } from "./options.js";
import { withoutSecrets } from "./text.js";

/** The command of a line that may have mistakes, for hints. */
export function commandOf([first = "", second = ""]: readonly string[]): CommandName | undefined {
  return COMMANDS.find((name) => name === first || name === `${first} ${second}`);
}

/**
 * Splits the words of a command line into the command and its arguments.
 *
 * @throws {UsageError}
 */
export function splitCommand(words: readonly string[]): {
  command: CommandName | undefined;
  images: string[];
} {
  const [first, second, ...rest] = words;
  if (first === undefined) return { command: undefined, images: [] };
  if (!isGroup(first)) return { command: requireCommand(first), images: words.slice(1) };
  if (second === undefined) throw new UsageError(`${first} needs an action`, actionsHint(first));
  return { command: requireCommand(`${first} ${second}`), images: rest };
}

/** Returns the second words of a group, such as `list` and `add` of `recipients`. */
export function actionsOf(group: string): string[] {
  return COMMANDS.filter((command) => command.startsWith(`${group} `)).map((command) =>
    command.slice(group.length + 1),
  );
}

function actionsHint(group: string): string {
  const actions = actionsOf(group);
  const last = actions.pop() ?? "";
  return `write ocicrypt ${group} ${actions.length === 0 ? last : `${actions.join(", ")} or ${last}`}`;
}

function requireCommand(name: string): CommandName {
  const command = COMMANDS.find((candidate) => candidate === name);
  if (command !== undefined) return command;
  throw new UsageError(`there is no command ${withoutSecrets(name)}`, commandHint(name));
}

function commandHint(name: string): string {
  if (Object.hasOwn(OPTIONS, name)) return `did you mean --${name}?`;
  if (name === "copy") return "use ocicrypt encrypt or ocicrypt decrypt, which copy the image too";
  const groups = Object.keys(GROUPS);
  const similar =
    COMMANDS.find((command) =>
      groups.some((group) => command === `${group} ${name}` || `${group} ${command}` === name),
    ) ?? closest(name, [...COMMANDS, ...groups]);
  if (similar !== undefined) return `did you mean ${similar}?`;
  const group = name.split(" ", 1)[0] ?? "";
  return isGroup(group) ? actionsHint(group) : `the commands are ${COMMANDS.join(", ")}`;
}

export const SHELLS = ["bash", "zsh", "fish"] as const;

/** Returns how an argument of a command is completed. */
export function argumentCompletion(name: string | undefined): Completion | undefined {
  if (name === undefined || name === "registry" || name.includes("path")) return undefined;
  const words = { shell: SHELLS, name: KEY_SERVER_NAMES, runtime: RUNTIMES };
  const bare = name.replace(/^\[|\]$/g, "") as keyof typeof words;
  if (Object.hasOwn(words, bare)) return words[bare];
  return name.startsWith("file") ? "file" : "image";
}
