import type { Writable } from "node:stream";
import { parseArgs } from "node:util";
import { errno, isOcicryptError, type ErrorCode, type OcicryptError } from "../errors.js";
import { abortable } from "../io/abort.js";
import { printable } from "../text/printable.js";
import { VERSION } from "./version.js";
import { decode, type DecodeOptions } from "./decode.js";
import { readPayload } from "./payload.js";
import { openOutput } from "./pipes.js";

const HELP = `Usage: ocicrypt-decoder [--decryption-keys-path PATH]... [--content-store DIR]

Decrypts one layer from standard input to standard output, as a stream processor of
containerd in place of imgcrypt's ctd-decoder.

  --decryption-keys-path PATH   a directory of private keys, or one key file
  --content-store DIR           containerd's content store, such as
                                /var/lib/containerd/io.containerd.content.v1.content;
                                finds the layer's manifest for clients without payload
  --verify first|stream         verify the layer before anything is written (default),
                                or hold back its last 64 KiB only
  --help                        print this text
  --version                     print the version
`;

/** The file descriptor on which containerd passes the payload of the client. */
const PAYLOAD_FD = 3;

/** Fewer words than the command's hints have: the text ends up in an event of a pod. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  NO_KEYS: "put a private key into the directory of --decryption-keys-path",
  NO_MATCHING_KEY:
    "put the private key of a recipient into the directory of --decryption-keys-path; " +
    "`ocicrypt inspect` shows the recipients",
  KEY_UNREADABLE: "check the path and its permissions",
  PASSWORD_MISSING: "put its password into NAME.password beside it, with mode 0400",
  PASSWORD_WRONG: "correct the password in NAME.password beside it",
  PAYLOAD_MISSING:
    "add --content-store with the content store of containerd to the args of the stream processor",
  PROVIDER_NOT_CONFIGURED: "set OCICRYPT_KEYPROVIDER_CONFIG in the env of the stream processor",
  HMAC_MISMATCH: "pull the image again; if that fails too, do not trust it",
  DESTINATION_FULL: "free some space, or name the content store with --content-store",
};

type Settings = Pick<DecodeOptions, "keyPaths" | "contentStore" | "verify">;

/**
 * Runs the decoder.
 *
 * @param signal aborts with the reason for the message
 * @returns the line that says why it failed; `undefined` if the layer was written
 */
export async function runDecoder(
  args: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const skipped = new Set<string>();
  try {
    const settings = readArguments(args);
    if (typeof settings === "string") process.stdout.write(settings);
    else await abortable(writeLayer(settings, signal, skipped), signal);
    // On a failure, containerd shows everything on standard error to the user.
    for (const warning of skipped) process.stderr.write(`warning: ${printable(warning)}\n`);
    return undefined;
  } catch (error) {
    return describe(signal.aborted ? signal.reason : error, skipped);
  }
}

/** Returns the settings, or the text of `--help` or `--version`. */
function readArguments(args: readonly string[]): Settings | string {
  const { values } = parseArgs({
    args: [...args],
    options: {
      "decryption-keys-path": { type: "string", multiple: true },
      "content-store": { type: "string" },
      verify: { type: "string" },
      help: { type: "boolean" },
      version: { type: "boolean" },
    },
  });
  if (values.help === true) return HELP;
  if (values.version === true) return `${VERSION}\n`;
  const { verify = "first" } = values;
  if (verify !== "first" && verify !== "stream") {
    throw new Error(`--verify takes first or stream, not ${JSON.stringify(verify)}`);
  }
  const keyPaths = values["decryption-keys-path"] ?? [];
  return { keyPaths, contentStore: values["content-store"], verify };
}

async function writeLayer(
  settings: Settings,
  signal: AbortSignal,
  skipped: Set<string>,
): Promise<void> {
  const payload = await readPayload(PAYLOAD_FD, signal);
  const output = openOutput();
  const plaintext = decode({
    ...settings,
    payload,
    mediaType: process.env.STREAM_PROCESSOR_MEDIATYPE,
    input: process.stdin,
    signal,
    onSkip: ({ message }) => skipped.add(message),
  });
  for await (const chunk of plaintext) await write(output, chunk);
}

function write(output: Writable, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(chunk, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Returns one line, which containerd shows to whoever pulls the image. */
function describe(error: unknown, skipped: ReadonlySet<string>): string {
  const start = "ocicrypt-decoder: ";
  if (!isOcicryptError(error)) {
    if (errno(error) === "EPIPE") return `${start}the layer is no longer read`;
    return start + printable(error instanceof Error ? error.message : String(error));
  }
  const { code, message } = error;
  const hint = HINTS[code];
  const text = `${start}${printable(message)} (${code})${hint === undefined ? "" : `; ${hint}`}`;
  const isAboutKeys = code === "NO_KEYS" || code === "NO_MATCHING_KEY";
  return isAboutKeys ? text + skippedFiles(error, skipped) : text;
}

/** The most skipped files that a message names. */
const MAX_SKIPPED = 5;

function skippedFiles({ message }: OcicryptError, skipped: ReadonlySet<string>): string {
  const others = [...skipped].filter((each) => each !== message);
  if (others.length === 0) return "";
  const named = others.slice(0, MAX_SKIPPED).map((each) => printable(each, 200));
  const rest = others.length - named.length;
  return `; not used: ${named.join("; ")}${rest > 0 ? `; and ${String(rest)} more` : ""}`;
}
