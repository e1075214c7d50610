// Serves the decrypted layers of an encrypted image to one client, which needs no key for them.
// Layers are decrypted while they are sent; nothing plain is stored.
import { createHash, generateKeyPairSync, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { decryptLayer } from "ocicrypt";
import { encryptImage } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { layoutDestination, layoutSource } from "ocicrypt/store";
import { makeImage } from "./make-image.js";

/** A function from requests for `/layers/N` to responses, as web servers of many kinds take it. */
async function decryptingProxy(source, { keys, token }) {
  const manifest = await buffer(source.read(await source.resolve()));
  const { layers } = JSON.parse(manifest.toString());
  const hash = (text) => createHash("sha256").update(text).digest();
  return async function handle(request) {
    const authorization = request.headers.get("authorization") ?? "";
    if (!timingSafeEqual(hash(authorization), hash(`Bearer ${token}`))) {
      return new Response("who are you?\n", { status: 401 });
    }
    const number = /^\/layers\/(\d+)$/.exec(new URL(request.url).pathname)?.[1];
    const descriptor = layers[number];
    if (descriptor === undefined) return new Response("no such layer\n", { status: 404 });
    const { signal } = request;
    const content = source.read(descriptor, { signal });
    const { stream } = await decryptLayer(content, { descriptor, keys, signal });
    return new Response(stream, { headers: { "content-length": descriptor.size } });
  };
}

/** Lets Node's server answer with such a function. */
function listener(handle) {
  return async (incoming, outgoing) => {
    const gone = new AbortController();
    outgoing.once("close", () => gone.abort());
    try {
      const url = new URL(incoming.url, "http://127.0.0.1");
      const { signal } = gone;
      const response = await handle(new Request(url, { headers: incoming.headers, signal }));
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      await pipeline(Readable.fromWeb(response.body), outgoing);
    } catch (error) {
      // Cuts the connection. Only an answer that ends as it should is one that was verified.
      console.log(`  proxy: ${error.message}`);
      outgoing.destroy();
    }
  };
}

const directory = mkdtempSync(join(tmpdir(), "ocicrypt-example-"));
const [plain, encrypted] = ["plain", "encrypted"].map((name) => ({
  path: join(directory, name),
  tag: "latest",
}));
await makeImage(plain.path, plain.tag, randomBytes(500_000));
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const { layers } = await encryptImage(layoutSource(plain), await layoutDestination(encrypted), {
  recipients: [jwe.recipient(publicKey.export({ format: "jwk" }))],
});

const token = randomBytes(32).toString("hex");
const keys = [jwe.key(privateKey.export({ format: "jwk" }))];
const server = createServer(
  listener(await decryptingProxy(layoutSource(encrypted), { keys, token })),
);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const get = (path, bearer) =>
  fetch(`http://127.0.0.1:${server.address().port}${path}`, {
    headers: { authorization: `Bearer ${bearer}` },
  });

for (const [index, { before }] of layers.entries()) {
  const bytes = Buffer.from(await (await get(`/layers/${index}`, token)).arrayBuffer());
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  console.log(`layer ${index}: ${bytes.byteLength} bytes, ${digest}`);
  if (digest !== before.digest) throw new Error("the layer did not come back");
}

const { status } = await get("/layers/0", "a guess");
console.log(`somebody else: ${status}`);
if (status !== 401) throw new Error("only the client may have the layers");

const file = join(encrypted.path, "blobs", ...layers[1].after.digest.split(":"));
const blob = readFileSync(file);
blob[400_000] ^= 1;
writeFileSync(file, blob);
const outcome = await get("/layers/1", token)
  .then((response) => response.arrayBuffer())
  .catch(() => "refused");
console.log(`a changed blob: ${outcome}`);
if (outcome !== "refused") throw new Error("a changed blob must not look like a whole one");

server.close();
server.closeAllConnections();
rmSync(directory, { recursive: true });
