import type { Readable, Writable } from "node:stream";
import { OcicryptError } from "../../errors.js";
import { MAX_MESSAGE_SIZE } from "./limits.js";
import { reasonOf } from "../../text/printable.js";
import { respond, type ServeOptions } from "./respond.js";
import type { KeyProvider } from "./types.js";

/** The standard streams of the process, and where its exit status goes. */
export interface Stdio {
  stdin: Readable;
  stdout: Writable;
  stderr: Writable;
  exitCode?: NodeJS.Process["exitCode"];
}

/** Answers the one request on standard input; what goes wrong is told on standard error. */
export async function serveCommand(
  provider: KeyProvider,
  options: ServeOptions,
  stdio: Stdio = process,
): Promise<void> {
  try {
    const request = await readAll(stdio.stdin);
    const { signal } = new AbortController();
    const answer = await respond(provider, request, options, signal);
    stdio.stdout.write(answer);
  } catch (error) {
    stdio.stderr.write(`${reasonOf(error)}\n`);
    stdio.exitCode = 1;
  }
}

async function readAll(stdin: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > MAX_MESSAGE_SIZE) {
      throw new OcicryptError("PROVIDER_INVALID_REQUEST", "the request is too large");
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
