import { execFile } from "node:child_process";
import { OcicryptError } from "../../errors.js";

const TIMEOUT_MS = 30_000;

/**
 * Exports from gpg's key ring the public keys that match a pattern, which may be none. Respects
 * `GNUPGHOME`, like gpg itself.
 *
 * @param maxSize of the keys, in bytes
 * @throws {@link OcicryptError} `GPG_NOT_FOUND`, `GPG_FAILED`
 */
export async function exportPublicKeys(
  pattern: string,
  { maxSize, signal }: { maxSize: number; signal: AbortSignal | undefined },
): Promise<Uint8Array> {
  signal?.throwIfAborted();
  // Without --utf8-strings, gpg reads the pattern in the character set of the locale.
  const output = ["--batch", "--no-tty", "--no-armor", "--utf8-strings", "--status-fd", "2"];
  const args = [...output, "--export", "--", pattern];
  const { error, stdout, stderr } = await run(args, maxSize, signal);
  signal?.throwIfAborted();
  // EXPORT_RES shows that gpg searched the ring. Some versions then fail if they found nothing, and
  // all fail if any key in the ring is damaged.
  if (error === null || /^\[GNUPG:\] EXPORT_RES /m.test(stderr)) return stdout;
  throw gpgError(error, stderr);
}

interface Outcome {
  error: (Error & { code?: unknown; killed?: unknown }) | null;
  stdout: Uint8Array;
  stderr: string;
}

function run(
  args: readonly string[],
  maxBuffer: number,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const options = {
    encoding: "buffer",
    maxBuffer,
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
    const message = "gpg is not installed; OpenPGP recipients are looked up in its key ring";
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
