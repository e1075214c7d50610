// Speed and memory of the layer, beside Go's ocicrypt and beside the primitives: npm run bench
import { execFileSync, spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decryptLayer, encryptLayer } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";
import { primitives } from "./primitives.js";
import { registryRounds } from "./registry.js";

const SIZE = 512 * 1024 * 1024;
const CHUNK = 64 * 1024;
const ROUNDS = 7;

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

async function timeEncryption(descriptor) {
  const start = performance.now();
  const { stream, finalize } = encryptLayer(plainLayer(), { descriptor, recipients });
  for await (const _part of stream);
  await finalize();
  return (performance.now() - start) / 1000;
}

async function timeDecryption(encrypted, descriptor) {
  const start = performance.now();
  const { stream, finalize } = await decryptLayer(inChunks(encrypted), { descriptor, keys });
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

const memory = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
const directory = mkdtempSync(join(memory, "ocicrypt-bench-"));
const goProgram = join(directory, "ocicrypt-vectors");
const vectors = fileURLToPath(new URL("../../vectors", import.meta.url));
const hasGo = spawnSync("go", ["version"]).status === 0;
if (hasGo) execFileSync("go", ["build", "-o", goProgram, "."], { cwd: vectors });
else console.error("go is not installed: its rows stay empty");

function timeGo(operation) {
  if (!hasGo) return NaN;
  const args = ["bench", "-size", SIZE, "-chunk", CHUNK, "-rounds", 1, "-op", operation];
  return JSON.parse(execFileSync(goProgram, args.map(String)))[operation].seconds[0];
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function rate(seconds) {
  return `${(SIZE / 1e9 / median(seconds)).toFixed(3)} GB/s`;
}

/** The median over the rounds of how much faster we are: above 1 where we are the faster one. */
function ratio(ours, theirs) {
  return median(ours.map((seconds, i) => theirs[i] / seconds)).toFixed(2);
}

function peakMemory(size) {
  const script = fileURLToPath(new URL("peak-memory.js", import.meta.url));
  return Number(execFileSync(process.execPath, [script, String(size)]));
}

try {
  const descriptor = { mediaType, digest: digestOfLayer(), size: SIZE };
  const layer = await encryptedLayer(descriptor);
  const seconds = { encrypt: [], decrypt: [], goEncrypt: [], goDecrypt: [], primitives: [] };
  for (let round = -1; round < ROUNDS; round++) {
    const figures = {
      primitives: primitives(chunk, count),
      encrypt: await timeEncryption(descriptor),
      goEncrypt: timeGo("encrypt"),
      decrypt: await timeDecryption(layer.bytes, layer.descriptor),
      goDecrypt: timeGo("decrypt"),
    };
    // The first round warms up.
    if (round >= 0) for (const name of Object.keys(seconds)) seconds[name].push(figures[name]);
  }
  const registry = await registryRounds(directory);
  const [small, large] = [16 * 1024 ** 2, 2 * 1024 ** 3].map(peakMemory);
  const mib = (bytes) => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;

  console.log(`${new Date().toISOString().slice(0, 10)}, Node.js ${process.version}, ${cpus().length} x ${cpus()[0].model}
one layer of ${mib(SIZE)} in chunks of ${CHUNK / 1024} KiB, both SHA-256 digests included, median of ${ROUNDS} rounds

| | encrypt | decrypt |
| --- | --- | --- |
| this library | ${rate(seconds.encrypt)} | ${rate(seconds.decrypt)} |
| Go, ocicrypt v1.3.2 | ${rate(seconds.goEncrypt)} | ${rate(seconds.goDecrypt)} |
| the four primitives alone, one thread | ${rate(seconds.primitives)} | ${rate(seconds.primitives)} |
| ratio to Go | ${ratio(seconds.encrypt, seconds.goEncrypt)} | ${ratio(seconds.decrypt, seconds.goDecrypt)} |
| ratio to the primitives | ${ratio(seconds.encrypt, seconds.primitives)} | ${ratio(seconds.decrypt, seconds.primitives)} |

peak memory: ${mib(small)} for a layer of 16 MiB, ${mib(large)} for one of 2 GiB`);
  if (registry !== undefined) {
    const wall = (values) => `${median(values).toFixed(1)} s`;
    console.log(`
from repository to repository of one registry, 574 MB in 7 layers, wall time, median of ${registry.ours.length} rounds

| this command | skopeo copy --encryption-key | ratio to skopeo |
| --- | --- | --- |
| ${wall(registry.ours)} | ${wall(registry.skopeo)} | ${ratio(registry.ours, registry.skopeo)} |`);
  }
} finally {
  rmSync(directory, { recursive: true });
}
