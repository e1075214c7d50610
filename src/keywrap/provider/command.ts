import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { OcicryptError, errno } from "../../errors.js";
import { printable, reasonOf } from "../../text/printable.js";
import { redact } from "../../text/redact.js";
import { invalidAnswer, MAX_MESSAGE_SIZE, MAX_WORDS } from "./messages.js";

export interface Command {
  readonly path: string;
  readonly args: readonly string[];
}

const IS_WINDOWS: boolean = process.platform === "win32";

/**
 * Runs a provider: one request on its standard input, one answer on its standard output.
 *
 * @param who the provider
 * @param signal kills the provider and its children
 * @throws {@link OcicryptError} `PROVIDER_NOT_FOUND`, `PROVIDER_FAILED`,
 *   `PROVIDER_INVALID_RESPONSE`; the reason of `signal`
 */
export async function runCommand(
  command: Command,
  request: Uint8Array,
  who: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  signal.throwIfAborted();
  const child = start(command, who);
  const chunks: Buffer[] = [];
  let size = 0;
  let words: Buffer = Buffer.alloc(0);
  try {
    await new Promise<void>((resolve, reject) => {
      const stop = (reason: Error): void => {
        kill(child);
        reject(reason);
      };
      signal.addEventListener("abort", () => {
        stop(signal.reason as Error);
      });
      child.on("error", (error) => {
        reject(cannotStart(error, command, who));
      });
      child.stdout.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.byteLength;
        if (size > MAX_MESSAGE_SIZE) stop(invalidAnswer(who, "it is too large"));
      });
      child.stderr.on("data", (chunk: Buffer) => {
        words = Buffer.concat([words, chunk]).subarray(-MAX_WORDS);
      });
      // A provider may ignore its standard input: only its exit status counts.
      child.stdin.on("error", () => undefined);
      child.stdin.end(request);
      child.on("close", (status, killedBy) => {
        if (status === 0) resolve();
        else reject(failed(who, status, killedBy, redact(words.toString("utf8"), chunks)));
      });
    });
    return Buffer.concat(chunks);
  } finally {
    for (const chunk of chunks) chunk.fill(0);
  }
}

function start({ path, args }: Command, who: string): ChildProcessWithoutNullStreams {
  try {
    // Its own process group, so that its children can be killed with it. On Windows, a group
    // would open a console instead.
    return spawn(path, args, { detached: !IS_WINDOWS, windowsHide: true });
  } catch (error) {
    throw cannotStart(error, { path, args }, who);
  }
}

function kill(child: ChildProcessWithoutNullStreams): void {
  try {
    if (IS_WINDOWS) child.kill();
    else if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended in the meantime.
  }
  // A process that left the group may hold the pipes open.
  child.stdin.destroy();
  child.stdout.destroy();
  child.stderr.destroy();
}

function cannotStart(error: unknown, { path }: Command, who: string): OcicryptError {
  const program = JSON.stringify(printable(path, 300));
  if (errno(error) === "ENOENT") {
    const message = `${who} cannot be started: program ${program} not found`;
    return new OcicryptError("PROVIDER_NOT_FOUND", message, { cause: error });
  }
  const message = `${who} cannot be started: ${program}: ${reasonOf(error)}`;
  return new OcicryptError("PROVIDER_FAILED", message, { cause: error });
}

function failed(
  who: string,
  status: number | null,
  killedBy: NodeJS.Signals | null,
  words: string,
): OcicryptError {
  const how = status === null ? String(killedBy) : `exit status ${String(status)}`;
  const said = printable(words) || "nothing was written to stderr";
  return new OcicryptError("PROVIDER_FAILED", `${who} ended with ${how}: ${said}`);
}
