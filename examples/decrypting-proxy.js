// Serves the decrypted layers of an encrypted image to one client, which needs no key.
// The proxy decrypts each layer while it sends it, and stores nothing in plaintext.
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

/** Returns a request handler for `/layers/N`, from `Request` to `Response`. */
async function decryptingProxy(source, { keys, token }) {
  const manifest = await buffer(source.read(await source.resolve()));
  const { layers } = JSON.parse(manifest.toString());
  const hash = (text) => createHash("sha256").update(text).digest();
  return async function handle(request) {
    const authorization = request.headers.get("authorization") ?? "";
    if (!timingSafeEqual(hash(authorization), hash(`Bearer ${token}`))) {
      return new Response("unauthorized\n", { status: 401 });
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

/** Adapts such a function to Node's HTTP server. */
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
      // Closes the connection: only a response that ends normally has been verified.
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
  if (digest !== before.digest) throw new Error("the layer differs from the original");
}

const { status } = await get("/layers/0", "a guess");
console.log(`another client: ${status}`);
if (status !== 401) throw new Error("only the client may read the layers");

const file = join(encrypted.path, "blobs", ...layers[1].after.digest.split(":"));
const blob = readFileSync(file);
blob[400_000] ^= 1;
writeFileSync(file, blob);
const outcome = await get("/layers/1", token)
  .then((response) => response.arrayBuffer())
  .catch(() => "rejected");
console.log(`a modified blob: ${outcome}`);
if (outcome !== "rejected") throw new Error("a modified blob must not look complete");

server.close();
server.closeAllConnections();
rmSync(directory, { recursive: true });
