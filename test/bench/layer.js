// One layer in memory: the library, Go's ocicrypt, the four primitives, and the machine's limit.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decryptLayer, encryptLayer } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";
import { spreadPrimitives } from "./limit.js";
import { median } from "./measure.js";
import { primitives } from "./primitives.js";
import { table } from "./tables.js";

const SIZE = 512 * 1024 * 1024;
const CHUNK = 64 * 1024;
const ROUNDS = 7;
const VECTORS = fileURLToPath(new URL("../../vectors", import.meta.url));
const PEAK_MEMORY = fileURLToPath(new URL("peak-memory.js", import.meta.url));

const chunk = randomBytes(CHUNK);
const count = SIZE / CHUNK;
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const recipients = [jwe.recipient(pair.publicKey.export({ format: "jwk" }))];
const keys = [jwe.key(pair.privateKey.export({ format: "jwk" }))];
const mediaType = "application/vnd.oci.image.layer.v1.tar";

async function* plainLayer() {
  for (let i = 0; i < count; i++) yield chunk;
}

async function* inChunks(bytes) {
  for (let i = 0; i < bytes.byteLength; i += CHUNK) yield bytes.subarray(i, i + CHUNK);
}

function digestOfLayer() {
  const hash = createHash("sha256");
  for (let i = 0; i < count; i++) hash.update(chunk);
  return `sha256:${hash.digest("hex")}`;
}

async function timeEncryption(descriptor, threads) {
  const start = performance.now();
  const { stream, finalize } = encryptLayer(plainLayer(), { descriptor, recipients, threads });
  for await (const _part of stream);
  await finalize();
  return (performance.now() - start) / 1000;
}

async function timeDecryption({ bytes, descriptor }, threads) {
  const start = performance.now();
  const options = { descriptor, keys, threads };
  const { stream, finalize } = await decryptLayer(inChunks(bytes), options);
  for await (const _part of stream);
  await finalize();
  return (performance.now() - start) / 1000;
}

async function encryptedLayer(descriptor) {
  const { stream, finalize } = encryptLayer(plainLayer(), { descriptor, recipients });
  const bytes = Buffer.alloc(SIZE);
  let offset = 0;
  for await (const part of stream) {
    bytes.set(part, offset);
    offset += part.byteLength;
  }
  return { bytes, descriptor: await finalize() };
}

/** Returns a function that runs an operation of Go's ocicrypt; without Go, its rows stay empty. */
function buildGo(directory) {
  if (spawnSync("go", ["version"]).status !== 0) {
    console.error("go is not installed: its rows stay empty");
    return () => NaN;
  }
  const program = join(directory, "ocicrypt-vectors");
  execFileSync("go", ["build", "-o", program, "."], { cwd: VECTORS });
  const args = ["bench", "-size", SIZE, "-chunk", CHUNK, "-rounds", 1, "-op"].map(String);
  return (operation) => {
    return JSON.parse(execFileSync(program, [...args, operation]))[operation].seconds[0];
  };
}

/**
 * Encrypts and decrypts a layer in all ways in turn.
 *
 * @param directory a temporary directory
 * @returns a Markdown table of rates, and of the library's ratios to them
 */
export async function layerTable(directory) {
  const go = buildGo(directory);
  const descriptor = { mediaType, digest: digestOfLayer(), size: SIZE };
  const layer = await encryptedLayer(descriptor);
  const ways = {
    "this library": [() => timeEncryption(descriptor), () => timeDecryption(layer)],
    "this library, `threads: 0`": [
      () => timeEncryption(descriptor, 0),
      () => timeDecryption(layer, 0),
    ],
    "Go, ocicrypt v1.3.2": [() => go("encrypt"), () => go("decrypt")],
    "the primitives, one thread": [() => primitives(chunk, count)],
    "the primitives, all cores": [() => spreadPrimitives(CHUNK, count)],
  };
  const seconds = Object.keys(ways).map(() => [[], []]);
  // The first round warms up.
  for (let round = -1; round < ROUNDS; round++) {
    for (const [i, [encrypt, decrypt]] of Object.values(ways).entries()) {
      const taken = [await encrypt(), await decrypt?.()];
      // The primitives take the same time in both directions.
      if (round >= 0) seconds[i].forEach((all, j) => all.push(taken[j] ?? taken[0]));
    }
  }
  const rate = (taken) => `${(SIZE / 1e9 / median(taken)).toFixed(3)} GB/s`;
  const ratio = (ours, theirs) => median(ours.map((each, i) => theirs[i] / each)).toFixed(2);
  const [threads, alone] = seconds;
  return table(
    ["", "encrypt", "decrypt", "rate of the library to it", "rate with `threads: 0` to it"],
    Object.keys(ways).map((name, i) => {
      const ratios = [threads, alone].map((ours) =>
        ours.map((taken, j) => ratio(taken, seconds[i][j])).join(", "),
      );
      return [name, ...seconds[i].map(rate), ...ratios];
    }),
  );
}

/** Returns a Markdown table of the peak memory of a program that uses the library. */
export function memoryTable() {
  const peak = (mib) => Number(execFileSync(process.execPath, [PEAK_MEMORY, mib * 1024 ** 2]));
  const lines = [0, 16, 256, 2048].map((mib) => {
    return [`${mib} MiB`, `${(peak(mib) / 1024 ** 2).toFixed(0)} MiB`];
  });
  return table(["layer", "peak memory"], lines);
}
