#!/usr/bin/env node
import { HOLD_ARGUMENT, holdFor, holdStdout } from "./hold.js";

/*
 * A stream processor of containerd in place of imgcrypt's ctd-decoder. Everything else is loaded
 * later, so that containerd also learns if it cannot be loaded. Nothing is awaited at the top level, so
 * that a bundler can make a CommonJS file of it, as single-file builds need.
 */

const [option, pid] = process.argv.slice(2);
if (option === HOLD_ARGUMENT) void holdFor(Number(pid));
else {
  process.on("uncaughtException", (error) => {
    fail(`ocicrypt-decoder: ${error.message}`);
  });
  // Without this, the process would end with status 0 if nothing were left to wait for.
  process.on("beforeExit", () => {
    fail("ocicrypt-decoder: it ended before the layer was written");
  });
  run().catch((error: unknown) => {
    fail(`ocicrypt-decoder: ${error instanceof Error ? error.message : String(error)}`);
  });
}

async function run(): Promise<void> {
  const abort = new AbortController();
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(name, () => {
      abort.abort(new Error(`ended by ${name}`));
    });
  }
  const { runDecoder } = await import("./decoder-command.js");
  const failure = await runDecoder(process.argv.slice(2), abort.signal);
  if (failure === undefined) process.exit(0);
  else fail(failure);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  holdStdout();
  process.exit(1);
}
