import { isContent } from "./secret-text.js";
import { closest, UsageError } from "./usage-error.js";

/** An option: whether a value stands behind it, and then of what kind, and such as what. */
export type OptionForm =
  | { type: "boolean"; short?: string }
  | { type: "string"; short?: string; what: string; example: string };

export type OptionForms = Readonly<Record<string, OptionForm>>;

/** An option as `parseArgs` finds it. */
export interface OptionToken {
  name: string;
  /** With its dashes, as it was typed. */
  rawName: string;
  value?: string | undefined;
  inlineValue?: boolean | undefined;
}

/**
 * Refuses an option that there is not, and one with a value too few or too many. No message quotes
 * a value, which may be a password.
 *
 * @param typed the argument that the option is in
 * @throws {UsageError}
 */
export function requireUsable(forms: OptionForms, token: OptionToken, typed: string): void {
  const long = /^-([a-z][a-z-]+)(?:=.*)?$/s.exec(typed)?.[1] ?? "";
  if (formOf(forms, long) !== undefined) {
    throw new UsageError(`-${long} lacks a dash`, `write --${long}`);
  }
  const { name, rawName, value } = token;
  const form = formOf(forms, name);
  if (form === undefined) throw unknownOption(forms, rawName);
  if (form.type === "boolean") {
    if (value === undefined) return;
    throw new UsageError(`${rawName} takes no value`, `write ${rawName} alone`);
  }
  const example = `such as ${rawName} ${form.example}`;
  if (value === undefined) throw new UsageError(`${rawName} needs ${form.what} behind it`, example);
  if (token.inlineValue !== true && /^-./s.test(value)) {
    const hint = `${example}; one that begins with a dash is written --${name}=…`;
    throw new UsageError(`${rawName} needs ${form.what} behind it`, hint);
  }
  if (/^-[^-]=/.test(typed)) throw new UsageError(`${rawName} takes its value without =`, example);
}

/** An option as it can be typed. */
export function exampleOf(forms: OptionForms, name: string): string {
  const form = formOf(forms, name);
  if (form?.type !== "string") return `--${name}`;
  return `${form.short === undefined ? `--${name}` : `-${form.short}`} ${form.example}`;
}

/** `--layer -1` is what people write, and what `parseArgs` takes for an option called `-1`. */
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

function formOf(forms: OptionForms, name: string): OptionForm | undefined {
  return Object.hasOwn(forms, name) ? forms[name] : undefined;
}

function unknownOption(forms: OptionForms, rawName: string): UsageError {
  if (isContent(rawName)) {
    const hint = "write the key to a file and name that, such as -k private.pem";
    return new UsageError("a key is given by the name of its file, not what is in it", hint);
  }
  if (!/^--?\w[\w-]{0,40}$/.test(rawName)) {
    const hint = "ocicrypt --help lists the options; behind -- stand images that begin with a dash";
    return new UsageError("an argument that begins with dashes is no option", hint);
  }
  const similar = closest(rawName.replace(/^-+/, ""), Object.keys(forms));
  return new UsageError(
    `there is no option ${rawName}`,
    similar === undefined ? "ocicrypt --help lists the options" : `did you mean --${similar}?`,
  );
}
