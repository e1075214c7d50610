// Stream processors of containerd beside each other, ours first: npm run build, then
//   node test/bench/decoder.js [--rounds N] [PROGRAM]...
// such as imgcrypt's ctd-decoder of test/interop/build-peers.sh, or a single-file build of ours. Prints
// the table of docs/benchmarks.md, with what Node.js alone takes to start.
import { spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { encryptLayer } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";
import { median } from "./measure.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "15" } },
});
const OURS = fileURLToPath(new URL("../../dist/runtime/decoder.js", import.meta.url));
const LAYERS = [
  { name: "1 KB", size: 1000, count: 1, rounds: Number(values.rounds) },
  // containerd unpacks one layer after the other.
  { name: "3 of 1 MB", size: 1_000_000, count: 3, rounds: Number(values.rounds) },
  { name: "120 MB", size: 120_000_000, count: 1, rounds: Math.ceil(Number(values.rounds) / 3) },
];
const mediaType = "application/vnd.oci.image.layer.v1.tar";

/** Runs a program and writes its resource usage to descriptor 4; Node.js has no wait4. */
const MEASURE = `import json, os, sys
pid = os.fork()
if pid == 0:
    os.close(4)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
result = [status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]
os.write(4, json.dumps(result).encode())`;

/** The protobuf Any that imgcrypt's clients send. */
function payloadOf(descriptor) {
  const field = (tag, bytes) => {
    const size = [];
    let length = bytes.byteLength;
    for (; length >= 128; length = Math.floor(length / 128)) size.push((length % 128) + 128);
    return Buffer.concat([Buffer.from([tag, ...size, length]), bytes]);
  };
  const json = { DecryptConfig: { Parameters: {} }, Descriptor: descriptor };
  const value = Buffer.from(JSON.stringify(json));
  return Buffer.concat([
    field(10, Buffer.from("io.containerd.ocicrypt.v1.Payload")),
    field(18, value),
  ]);
}

async function runDecoder([program, ...before], keys, file) {
  const [input, payload] = [openSync(file, "r"), openSync(`${file}.payload`, "r")];
  const start = performance.now();
  const args = ["-c", MEASURE, program, ...before, "--decryption-keys-path", keys];
  const child = spawn("python3", args, {
    // A pipe of Node.js is a socket, which is no payload.
    stdio: [input, "pipe", "inherit", payload, "pipe"],
    env: { ...process.env, STREAM_PROCESSOR_MEDIATYPE: `${mediaType}+encrypted` },
  });
  for (const descriptor of [input, payload]) closeSync(descriptor);
  let first;
  child.stdout.once("data", () => (first = performance.now() - start));
  const [, usage] = await Promise.all([buffer(child.stdout), text(child.stdio[4])]);
  const wall = performance.now() - start;
  const [status, cpu, kibibytes] = JSON.parse(usage);
  if (status !== 0) throw new Error(`${program} failed`);
  return { first, wall, cpu: cpu * 1000, memory: kibibytes / 1024 };
}

/** Decodes one layer after the other, and returns the totals. */
async function runLayers(program, keys, file, count) {
  const total = { first: 0, wall: 0, cpu: 0, memory: 0 };
  for (let i = 0; i < count; i++) {
    const { first, wall, cpu, memory } = await runDecoder(program, keys, file);
    if (i === 0) total.first = first ?? wall;
    total.wall += wall;
    total.cpu += cpu;
    total.memory = Math.max(total.memory, memory);
  }
  return total;
}

const directory = mkdtempSync(join(tmpdir(), "ocicrypt-bench-"));
try {
  const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const keys = join(directory, "keys");
  mkdirSync(keys);
  const pem = pair.privateKey.export({ type: "pkcs8", format: "pem" });
  writeFileSync(join(keys, "key.pem"), pem, { mode: 0o600 });
  const recipients = [jwe.recipient(pair.publicKey.export({ format: "jwk" }))];
  const programs = [
    [process.execPath, "-e", "0", "node -e 0"],
    [process.execPath, OURS],
    ...positionals.map((program) => [program]),
  ];
  console.log("| layer | decoder | first byte | wall | CPU | memory |\n| --- | --- | --- | --- | --- | --- |"); // prettier-ignore
  for (const { name, size, count, rounds } of LAYERS) {
    const plain = randomBytes(size);
    const { stream, finalize } = encryptLayer(plain, {
      descriptor: { mediaType, size },
      recipients,
    });
    const file = join(directory, "layer");
    writeFileSync(file, await buffer(stream));
    writeFileSync(`${file}.payload`, payloadOf(await finalize()));
    const results = programs.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [i, program] of programs.entries()) {
        results[i].push(await runLayers(program, keys, file, count));
      }
    }
    for (const [i, own] of results.entries()) {
      const of = (what) => median(own.map((each) => each[what])).toFixed(0);
      console.log(`| ${name} | ${programs[i].at(-1)} | ${of("first")} ms | ${of("wall")} ms | ${of("cpu")} ms | ${of("memory")} MiB |`); // prettier-ignore
    }
  }
} finally {
  rmSync(directory, { recursive: true });
}
