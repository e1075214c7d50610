// Encrypts and decrypts one layer of a size through a file, and prints the peak memory in bytes.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { decryptLayer, encryptLayer } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";

const size = Number(process.argv[2]);
const directory = mkdtempSync(join(tmpdir(), "ocicrypt-bench-"));
const file = join(directory, "layer");
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const chunk = randomBytes(64 * 1024);

async function* layer() {
  for (let done = 0; done < size; done += chunk.byteLength) yield chunk;
}

try {
  const { stream, finalize } = encryptLayer(layer(), {
    descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar", size },
    recipients: [jwe.recipient(pair.publicKey.export({ format: "jwk" }))],
  });
  await pipeline(stream, createWriteStream(file));
  const { stream: plain } = await decryptLayer(createReadStream(file), {
    descriptor: await finalize(),
    keys: [jwe.key(pair.privateKey.export({ format: "jwk" }))],
  });
  for await (const _part of plain);
} finally {
  rmSync(directory, { recursive: true });
}
// Not getrusage, whose figure a process inherits from the one that started it: proc(5), VmHWM.
const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
console.log(Number(kibibytes) * 1024);
