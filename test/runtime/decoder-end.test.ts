import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { constants, existsSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { writeScript } from "../keywrap/provider/script.js";
import {
  contentStore,
  decoderCommand,
  encrypted,
  keysDirectory,
  makePipe,
  outcomeOf,
  payloadOf,
  startDecoder,
  workDirectory,
  type DecoderOptions,
  type Outcome,
} from "./decoder-process.js";

const newDirectory = workDirectory();
const PLAIN = randomBytes(1_000_000);
const { cipher, descriptor } = await encrypted(PLAIN);

const keysOf = (directory: string): string[] => [
  ...["--decryption-keys-path", keysDirectory(directory, "rsa2048.pkcs8.pem")],
];

/** Waits until something holds; the test's own time limit ends it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(20);
}

/**
 * Whether the decoder handles signals: bit 0 of the mask is SIGHUP (Linux, proc_pid_status(5)),
 * which Node.js itself does not handle.
 */
function handlesSignals({ pid }: ChildProcess): boolean {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  const mask = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return (mask & 1n) !== 0n;
}

/** Sends half of the layer, until it has been read or is in the pipe. */
async function sendHalf({ stdin }: ChildProcess): Promise<void> {
  stdin!.write(cipher.subarray(0, 500_000));
  await until(() => stdin!.writableLength === 0);
}

/** Long enough for the decoder to reach what the phase waits for. */
const SETTLED = 200;

interface Phase {
  options: DecoderOptions;
  /** Begins the phase; the decoder waits in it. */
  begin?: (child: ChildProcess) => Promise<void> | void;
}

const PHASES: Record<string, (directory: string) => Phase> = {
  "the payload is read": (directory) => ({
    // Open for writing too, so that it does not end.
    options: { args: keysOf(directory), third: openSync(makePipe(directory, "payload"), "r+") },
  }),
  "a key provider is asked": (directory) => {
    const asked = join(directory, "asked");
    const script = writeScript(
      directory,
      "provider",
      `require("node:fs").writeFileSync(${JSON.stringify(asked)}, "");
       setTimeout(() => {}, 20000);`,
    );
    const config = join(directory, "providers.json");
    writeFileSync(config, JSON.stringify({ "key-providers": { p: { cmd: { path: script } } } }));
    const annotations = {
      "org.opencontainers.image.enc.keys.provider.p": "aGVsbG8=",
      "org.opencontainers.image.enc.pubopts":
        descriptor.annotations!["org.opencontainers.image.enc.pubopts"],
    };
    return {
      options: {
        payload: payloadOf({ ...descriptor, annotations }),
        env: { OCICRYPT_KEYPROVIDER_CONFIG: config },
      },
      begin: () => until(() => existsSync(asked)),
    };
  },
  "the layer is copied, and stalls": (directory) => ({
    options: { args: keysOf(directory), payload: payloadOf(descriptor) },
    begin: sendHalf,
  }),
  "the layer is hashed, and stalls": (directory) => ({
    options: {
      args: [...keysOf(directory), "--content-store", contentStore(directory, [cipher])],
    },
    begin: sendHalf,
  }),
  "nobody reads the plaintext": (directory) => ({
    options: {
      args: [...keysOf(directory), "--content-store", contentStore(directory, [cipher])],
      payload: payloadOf(descriptor),
    },
    begin: async ({ stdout }) => {
      await until(() => stdout!.readableLength > 0);
    },
  }),
};

describe("SIGTERM", () => {
  it.runIf(process.platform === "linux").for(Object.entries(PHASES))(
    "while %s leaves nothing behind, and is a failure",
    async ([, make]) => {
      const directory = newDirectory();
      const temporary = join(directory, "tmp");
      mkdirSync(temporary);
      const { options, begin } = make(directory);
      const child = startDecoder(directory, {
        ...options,
        env: { ...options.env, TMPDIR: temporary },
      });
      child.stdout!.pause();
      await until(() => handlesSignals(child));
      await begin?.(child);
      await setTimeout(SETTLED);
      expect(child.exitCode).toBe(null);
      // Reading earlier could let the decoder finish before it hears the signal.
      const outcome = new Promise<Outcome>((resolve) => {
        child.once("exit", () => {
          resolve(outcomeOf(child));
        });
      });
      child.kill("SIGTERM");
      const { status, output, message } = await outcome;
      expect([status, message]).toEqual([1, "ocicrypt-decoder: ended by SIGTERM\n"]);
      expect(output.byteLength).toBeLessThan(PLAIN.byteLength);
      expect(readdirSync(temporary)).toEqual([]);
    },
  );
});

describe("a reader that stops", () => {
  it("ends the decoder with a failure", async () => {
    const directory = newDirectory();
    const child = startDecoder(directory, { args: keysOf(directory), payload: payloadOf(descriptor) }); // prettier-ignore
    child.stdin!.end(cipher);
    child.stdout!.destroy();
    const message = (await child.stderr!.toArray()).join("");
    expect(message).toBe("ocicrypt-decoder: the layer is no longer read\n");
  });
});

/**
 * Starts the decoder with a pipe as its standard output, and does not notice its end for a while, as
 * on a busy node. Then it writes a file.
 */
const PARENT = `
const { spawn } = require("node:child_process");
const { closeSync, openSync, writeFileSync } = require("node:fs");
const [pipe, awake, ...command] = process.argv.slice(1);
const output = openSync(pipe, "w");
spawn(command[0], command.slice(1), { stdio: ["ignore", output, "ignore"] });
closeSync(output);
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000);
writeFileSync(awake, "");
process.exit(0);
`;

describe("a failure", () => {
  it("reaches the parent process before standard output ends", async () => {
    const directory = newDirectory();
    const pipe = makePipe(directory, "stdout");
    const awake = join(directory, "awake");
    const reading = open(pipe, constants.O_RDONLY);
    const args = ["-e", PARENT, pipe, awake, ...decoderCommand()];
    const parent = spawn(process.execPath, args, { stdio: "ignore" });
    const file = await reading;
    const { bytesRead } = await file.read(Buffer.alloc(10), 0, 10, null);
    expect([bytesRead, existsSync(awake)]).toEqual([0, true]);
    await file.close();
    parent.kill();
  });
});
