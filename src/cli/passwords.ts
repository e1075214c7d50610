import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { cannotRead, errno, OcicryptError } from "../errors.js";
import { isAbsent } from "../io/files.js";
import type { KeyServerContext } from "../keyserver/index.js";
import { Interrupted, UsageError } from "./errors.js";
import { note } from "./progress.js";
import { isContent, looksEncoded, printable } from "./text.js";

/**
 * Reads a key or password file; `-` is standard input.
 *
 * @param purpose the use of the file, with the option that names it: `the key of -k`
 * @param isName whether a message may quote the name of a missing file. Default: if it does not
 *   look like a key.
 * @throws {@link OcicryptError} `KEY_UNREADABLE`
 */
export function readKeyFile(file: string, purpose: string, isName?: boolean): Uint8Array {
  if (file === "-") return readStdin(purpose);
  if (file === "") throw unreadable(`the file name for ${purpose} is empty`);
  if (isContent(file)) throw unreadable(`name a file for ${purpose}, not its content`);
  try {
    return readFileSync(file);
  } catch (cause) {
    if (isAbsent(cause) && !(isName ?? !looksEncoded(file))) {
      throw unreadable(`there is no such file for ${purpose}; name a file, not its content`);
    }
    throw unreadable(whyUnreadable(file, purpose, cause), cause);
  }
}

/**
 * Returns what key servers need of the command line.
 *
 * @param file the file of `--key-servers`. Default: the file that `OCICRYPT_KEY_SERVERS` names.
 * @throws {@link OcicryptError} `KEY_UNREADABLE`, `KEY_SERVER_CONFIG_INVALID`
 */
export async function keyServerContext(
  file: string | undefined,
  signal?: AbortSignal,
): Promise<KeyServerContext> {
  const readFile = (name: string): Uint8Array => readKeyFile(name, "the recipient of -r");
  const warned = new Set<string>();
  const onWarning = (message: string): void => {
    if (!warned.has(message)) note("warning", message);
    warned.add(message);
  };
  return { settings: await keyServerSettings(file), readFile, signal, onWarning };
}

/** A pipe is empty when it is read again. */
const settingsOfFiles = new Map<string, Promise<Settings>>();

type Settings = KeyServerContext["settings"];

/** As {@link keyServerContext}, for its settings alone. */
export function keyServerSettings(
  file: string | undefined = process.env.OCICRYPT_KEY_SERVERS,
): Promise<Settings> {
  if (file === undefined || file === "") return Promise.resolve({});
  let settings = settingsOfFiles.get(file);
  if (settings === undefined) {
    settings = readKeyServerSettings(file);
    settingsOfFiles.set(file, settings);
  }
  return settings;
}

async function readKeyServerSettings(file: string): Promise<Settings> {
  const { KEY_SERVER_NAMES } = await import("../keyserver/index.js");
  const { readSettings } = await import("../keyserver/settings.js");
  const content = readKeyFile(file, "the settings of --key-servers", true);
  return readSettings(content, KEY_SERVER_NAMES);
}

let stdinUse: string | undefined;

/**
 * Reads standard input, which only one option can take.
 *
 * @throws {UsageError}
 * @throws {@link OcicryptError} `KEY_UNREADABLE`
 */
export function readStdin(purpose: string): Uint8Array {
  if (stdinUse !== undefined) {
    const hint = "name a file for one of them, or a file descriptor such as /dev/fd/3";
    throw new UsageError(`${purpose} and ${stdinUse} cannot both be standard input`, hint);
  }
  stdinUse = purpose;
  try {
    return readFileSync(0);
  } catch (cause) {
    throw unreadable(cannotRead(`standard input for ${purpose}`, cause), cause);
  }
}

function whyUnreadable(file: string, purpose: string, cause: unknown): string {
  switch (errno(cause)) {
    case "ENOENT":
    case "ENOTDIR":
      return `there is no file ${file.replace(/:pass=.*/s, ":pass=…")} for ${purpose}`;
    case "EISDIR":
      return `${file} for ${purpose} is a directory, not a file`;
    case "ENAMETOOLONG":
      // Not the name of a file, so it may be a key in some form.
      return `the file name for ${purpose} is too long`;
    default:
      return cannotRead(`${file} for ${purpose}`, cause);
  }
}

function unreadable(message: string, cause?: unknown): OcicryptError {
  return new OcicryptError("KEY_UNREADABLE", message, cause === undefined ? {} : { cause });
}

/**
 * Reads the password that follows the name of a key file.
 *
 * @throws {UsageError}
 * @throws {@link OcicryptError} `KEY_UNREADABLE`
 */
export function readPassword(text: string, file: string): string | Uint8Array {
  requireNoTypo(text);
  const [, kind, value] = /^(pass|file|env|fd)=(.*)$/s.exec(text) ?? [];
  if (kind === undefined || value === undefined) return text;
  switch (kind) {
    case "file":
      // A single word may be the password itself.
      return withoutLineEnd(readKeyFile(value, `the password of ${file}`, isPath(value)));
    case "fd":
      return withoutLineEnd(readDescriptor(value));
    case "env":
      return readVariable(value);
    default:
      return value;
  }
}

/** Rejects a misspelt form, which would otherwise count as the password itself. */
function requireNoTypo(text: string): void {
  const [, name = ""] = /^([a-z_-]+)=/i.exec(text) ?? [];
  const isForm = ["pass", "file", "env", "fd"].includes(name);
  const meant = isForm ? undefined : TYPOS.find(({ names }) => names.test(name))?.form;
  if (meant === undefined) return;
  const hint = `write FILE:${meant}=…; a password that begins this way is FILE:pass=${name}=…`;
  throw new UsageError(`${name}= is not a way to give a password`, hint);
}

const TYPOS = [
  { names: /^(?:pass?wo?r?d?|pwd|pw|passphrase|phrase|secret|PASS)$/i, form: "pass" },
  { names: /^(?:pass(?:word|phrase)?[-_]?file|path|filename|files|FILE)$/i, form: "file" },
  { names: /^(?:pass(?:word)?[-_]?env|environ(?:ment)?|var|variable|ENV)$/i, form: "env" },
  { names: /^(?:descriptor|filedescriptor|FD)$/i, form: "fd" },
] as const;

function isPath(text: string): boolean {
  return /[/\\]|\.\w{1,8}$/.test(text) && !looksEncoded(text);
}

const variables = new Map<string, string>();

/**
 * Removes the variable, because programs that the command starts, such as key providers, inherit
 * its environment.
 */
function takeVariable(name: string): string | undefined {
  const value = Object.hasOwn(process.env, name) ? process.env[name] : undefined;
  if (value === undefined) return variables.get(name);
  variables.set(name, value);
  Reflect.deleteProperty(process.env, name);
  return value;
}

function readVariable(name: string): string {
  const value = takeVariable(name);
  if (value !== undefined) return value;
  // Any other text may be the password itself.
  const shown = /^[A-Z_][A-Z0-9_]*$/.test(name) ? name : undefined;
  throw new UsageError(
    `there is no environment variable ${shown ?? "of the name after env="}`,
    shown === undefined
      ? "name the variable that holds the password, such as FILE:env=PASSWORD"
      : `set it and export it: export ${shown}`,
  );
}

function readDescriptor(number: string): Uint8Array {
  const hint = "open it for the command: -k FILE:fd=3 3< PASSWORDFILE";
  if (!/^\d{1,6}$/.test(number)) {
    throw new UsageError("fd= needs the number of a file descriptor", hint);
  }
  try {
    return readFileSync(Number(number));
  } catch (error) {
    const message = cannotRead(`the file descriptor ${number} of fd=`, error);
    throw new UsageError(message, hint);
  }
}

/** Removes the line end that editors and `echo` add to a file. */
function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  const end = bytes.at(-1) !== 0x0a ? 0 : bytes.at(-2) === 0x0d ? 2 : 1;
  return bytes.subarray(0, bytes.byteLength - end);
}

/** Whether there is a terminal to ask for a password on. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/**
 * Asks on the terminal, without echo.
 *
 * @param isAgain whether the last password was wrong
 * @throws {UsageError}
 * @throws {@link Interrupted} after Ctrl-C
 */
export async function askPassword(file: string, isAgain: boolean): Promise<string> {
  if (!canAsk()) {
    const hint = "use FILE:file=PASSWORDFILE, FILE:env=VARIABLE or FILE:fd=NUMBER instead";
    throw new UsageError("there is no terminal to ask for a password on", hint);
  }
  const hidden = new Writable({
    write(_chunk, _encoding, done) {
      done();
    },
  });
  const terminal = createInterface({ input: process.stdin, output: hidden, terminal: true });
  // The terminal echoes until the interface above exists.
  const again = isAgain ? "Wrong password, try again. " : "";
  process.stderr.write(`${again}Password of ${printable(file)}: `);
  try {
    return await new Promise<string>((resolve, reject) => {
      terminal.once("line", resolve);
      // In raw mode, Ctrl-C is a key and sends no signal.
      terminal.once("SIGINT", () => {
        reject(new Interrupted());
      });
      terminal.once("close", () => {
        reject(new UsageError("no password was typed"));
      });
    });
  } finally {
    terminal.close();
    process.stderr.write("\n");
  }
}
