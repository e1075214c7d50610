import { execFile } from "node:child_process";
import { OcicryptError } from "../../errors.js";
import { MAX_RING_SIZE } from "./key-ring.js";
import type { RecipientName } from "./name.js";

const TIMEOUT_MS = 30_000;

/**
 * The public keys in the user's key ring that a name may mean, as gpg exports them: a superset of
 * what it does mean, and empty when there are none. Like gpg itself, this heeds `GNUPGHOME`.
 *
 * @throws {@link OcicryptError} `GPG_NOT_FOUND`, `GPG_FAILED`
 */
export async function exportPublicKeys(
  { text, hex }: RecipientName,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  signal?.throwIfAborted();
  // With the asterisk gpg takes whatever follows as a part of a user id, not as a search syntax.
  const pattern = hex === undefined ? `*${text}` : `0x${hex}`;
  // Without --utf8-strings it takes the pattern to be in the character set of the locale.
  const output = ["--batch", "--no-tty", "--no-armor", "--utf8-strings", "--status-fd", "2"];
  const args = [...output, "--export", "--", pattern];
  const { error, stdout, stderr } = await run(args, signal);
  signal?.throwIfAborted();
  // gpg has looked through the ring even if it then fails, as some versions do where they found
  // nothing, and all do for a damaged key somewhere in the ring.
  if (error === null || /^\[GNUPG:\] EXPORT_RES /m.test(stderr)) return stdout;
  throw gpgError(error, stderr);
}

interface Outcome {
  error: (Error & { code?: unknown; killed?: unknown }) | null;
  stdout: Uint8Array;
  stderr: string;
}

function run(args: readonly string[], signal: AbortSignal | undefined): Promise<Outcome> {
  const options = {
    encoding: "buffer",
    maxBuffer: MAX_RING_SIZE,
    timeout: TIMEOUT_MS,
    windowsHide: true,
    ...(signal !== undefined && { signal }),
  } as const;
  return new Promise((resolve) => {
    execFile("gpg", args, options, (error, stdout, stderr) => {
      resolve({ error, stdout, stderr: stderr.toString("utf8") });
    });
  });
}

function gpgError(error: NonNullable<Outcome["error"]>, stderr: string): OcicryptError {
  if (error.code === "ENOENT") {
    const message = "gpg, whose key ring holds the OpenPGP recipients, is not installed";
    return new OcicryptError("GPG_NOT_FOUND", message, { cause: error });
  }
  const why =
    error.code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER"
      ? "too many keys match"
      : error.killed === true
        ? `no answer in ${String(TIMEOUT_MS / 1000)} s`
        : (stderr.split("\n").findLast((line) => line.startsWith("gpg: ")) ?? error.message);
  return new OcicryptError("GPG_FAILED", `gpg could not export the public key: ${why}`, {
    cause: error,
  });
}
