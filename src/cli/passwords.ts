import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { errorCode, readKeyFile } from "./key-file.js";
import { looksEncoded } from "./secret-text.js";
import { printable } from "./text.js";
import { UsageError } from "./usage-error.js";

/**
 * The password that stands behind a key file's name.
 *
 * @throws {UsageError} {@link OcicryptError} `KEY_UNREADABLE`
 */
export async function readPassword(text: string, file: string): Promise<string | Uint8Array> {
  if (text === "prompt") return askPassword(file);
  const [, kind, value] = /^(pass|file|env|fd)=(.*)$/s.exec(text) ?? [];
  if (kind === undefined || value === undefined) return text;
  switch (kind) {
    case "file":
      // A word alone may be the password itself.
      return withoutLineEnd(readKeyFile(value, `the password of ${file}`, isPath(value)));
    case "fd":
      return withoutLineEnd(readDescriptor(value));
    case "env":
      return readVariable(value);
    default:
      return value;
  }
}

function isPath(text: string): boolean {
  return /[/\\]|\.\w{1,8}$/.test(text) && !looksEncoded(text);
}

function readVariable(name: string): string {
  const value = Object.hasOwn(process.env, name) ? process.env[name] : undefined;
  if (value !== undefined) return value;
  // Another text may be the password itself.
  const shown = /^[A-Z_][A-Z0-9_]*$/.test(name) ? name : undefined;
  throw new UsageError(
    `the environment has no variable ${shown ?? "of the name behind env="}`,
    shown === undefined
      ? "name the variable that the password is in, such as FILE:env=PASSWORD"
      : `give it to the command: export ${shown}, once it is set in the shell`,
  );
}

function readDescriptor(number: string): Uint8Array {
  const hint = "open it for the command: … -k FILE:fd=3 3< PASSWORDFILE";
  if (!/^\d{1,6}$/.test(number)) {
    throw new UsageError("fd= takes the number of a descriptor", hint);
  }
  try {
    return readFileSync(Number(number));
  } catch (error) {
    const message = `the descriptor ${number} of fd= can not be read (${errorCode(error)})`;
    throw new UsageError(message, hint);
  }
}

/** Editors and `echo` end a file with a line end that is not part of the password. */
function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  const end = bytes.at(-1) !== 0x0a ? 0 : bytes.at(-2) === 0x0d ? 2 : 1;
  return bytes.subarray(0, bytes.byteLength - end);
}

/** Asks on the terminal, without showing what is typed. */
async function askPassword(file: string): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    const hint = "use FILE:file=PASSWORDFILE, FILE:env=VARIABLE or FILE:fd=NUMBER instead";
    throw new UsageError("there is no terminal to ask for a password on", hint);
  }
  const hidden = new Writable({
    write(_chunk, _encoding, done) {
      done();
    },
  });
  const terminal = createInterface({ input: process.stdin, output: hidden, terminal: true });
  // Only now does the terminal not show what is typed.
  process.stderr.write(`Password of ${printable(file)}: `);
  try {
    return await new Promise<string>((resolve, reject) => {
      terminal.once("line", resolve);
      terminal.once("close", () => {
        reject(new UsageError("no password was typed"));
      });
    });
  } finally {
    terminal.close();
    process.stderr.write("\n");
  }
}
