import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { decryptLayer, encryptLayer } from "../../src/index.js";
import {
  provider,
  serveKeyProvider,
  type KeyProvider,
  type ProviderEntry,
  type ServeGrpcOptions,
} from "../../src/keywrap/provider/index.js";
import { encodeRequest } from "../../src/keywrap/provider/messages.js";
import { writeScript } from "../keywrap/provider/script.js";
import { collect } from "../support/bytes.js";
import { requirePeer } from "./peers.js";

const VECTORS = fileURLToPath(new URL("../../vectors", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../examples/key-provider.js", import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "provider-interop-"));
const inFolder = (name: string): string => join(folder, name);
const tlsFile = (name: string): string =>
  fileURLToPath(new URL(`../keywrap/provider/tls/${name}.pem`, import.meta.url));

const plain = randomBytes(70_000);
const descriptor = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: `sha256:${createHash("sha256").update(plain).digest("hex")}`,
  size: plain.byteLength,
};

let hasGo = false;

beforeAll(() => {
  writeFileSync(inFolder("key"), randomBytes(32));
  process.env.KEY_FILE = inFolder("key");
  const built = spawnSync("go", ["build", "-o", inFolder("go-ocicrypt"), "."], { cwd: VECTORS });
  hasGo = built.status === 0;
  if (!hasGo && built.error === undefined) throw new Error(built.stderr.toString());
});

beforeEach((context) => {
  requirePeer(context, "go", hasGo);
});

afterAll(() => {
  delete process.env.KEY_FILE;
  rmSync(folder, { recursive: true });
});

/** Runs the Go program with the provider `p`; the test process serves it meanwhile. */
async function runGo(
  args: readonly string[],
  input: Uint8Array,
  entry: ProviderEntry,
): Promise<Buffer> {
  const config = inFolder("config.json");
  writeFileSync(config, JSON.stringify({ "key-providers": { p: entry } }));
  const child = spawn(inFolder("go-ocicrypt"), args, {
    env: { ...process.env, OCICRYPT_KEYPROVIDER_CONFIG: config },
  });
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const ended = new Promise((resolve) => child.once("close", resolve));
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
  if ((await ended) !== 0) throw new Error(`go: ${stderr.toString()}`);
  return stdout;
}

interface Layer {
  cipher: Uint8Array;
  annotations: Record<string, string>;
}

async function goEncrypt(entry: ProviderEntry, params = "a:b"): Promise<Layer> {
  const file = inFolder("annotations.json");
  const args = ["-recipient", `provider:p:${params}`, "-digest", descriptor.digest];
  const mediaType = ["-mediatype", descriptor.mediaType];
  const cipher = await runGo(
    ["encrypt", ...args, ...mediaType, "-annotations", file],
    plain,
    entry,
  );
  const annotations = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
  return { cipher, annotations };
}

async function goDecrypt({ cipher, annotations }: Layer, entry: ProviderEntry): Promise<Buffer> {
  const file = inFolder("annotations.json");
  writeFileSync(file, JSON.stringify(annotations));
  return await runGo(["decrypt", "-key", "provider:p", "-annotations", file], cipher, entry);
}

async function ourEncrypt(entry: ProviderEntry): Promise<Layer> {
  const recipients = [provider.recipient("p", { config: { "key-providers": { p: entry } } })];
  const encrypted = encryptLayer(new Blob([plain]).stream(), { descriptor, recipients });
  const cipher = await collect(encrypted.stream);
  return { cipher, annotations: (await encrypted.finalize()).annotations! };
}

async function ourDecrypt({ cipher, annotations }: Layer, entry: ProviderEntry): Promise<Buffer> {
  const keys = [provider.key("p", { config: { "key-providers": { p: entry } } })];
  const mediaType = `${descriptor.mediaType}+encrypted`;
  const encrypted = {
    mediaType,
    annotations,
    digest: `sha256:${createHash("sha256").update(cipher).digest("hex")}`,
    size: cipher.byteLength,
  };
  const decrypted = await decryptLayer(new Blob([Buffer.from(cipher)]).stream(), {
    descriptor: encrypted,
    keys,
  });
  return await collect(decrypted.stream);
}

/** All four ways between Go and this library, through one provider. */
async function expectAllWays(entry: ProviderEntry): Promise<void> {
  const fromGo = await goEncrypt(entry);
  expect(Object.keys(fromGo.annotations)).toContain("org.opencontainers.image.enc.keys.provider.p");
  expect(fromGo.cipher).not.toEqual(plain);
  expect(await goDecrypt(fromGo, entry)).toEqual(plain);
  expect(await ourDecrypt(fromGo, entry)).toEqual(plain);
  const fromUs = await ourEncrypt(entry);
  expect(await goDecrypt(fromUs, entry)).toEqual(plain);
  expect(await ourDecrypt(fromUs, entry)).toEqual(plain);
}

/** Turns every bit, which is all the same to its clients. */
const turning: KeyProvider = {
  wrapKey: ({ bytes }) => Promise.resolve(bytes.map((byte) => byte ^ 0xff)),
  unwrapKey: ({ bytes }) => Promise.resolve(bytes.map((byte) => byte ^ 0xff)),
};

async function withServer(
  options: Partial<ServeGrpcOptions>,
  entry: Omit<ProviderEntry, "grpc">,
  run: (entry: ProviderEntry) => Promise<void>,
  served: KeyProvider = turning,
): Promise<void> {
  const server = await serveKeyProvider(served, {
    transport: "grpc",
    address: "localhost:0",
    ...options,
  });
  try {
    await run({ ...entry, grpc: server.address });
  } finally {
    await server.close();
  }
}

describe("Go and this library share a provider", () => {
  it("that is the example, as a command", async () => {
    await expectAllWays({ cmd: { path: process.execPath, args: [EXAMPLE] } });
  });

  it("that is the example, as a server", async () => {
    const child: ChildProcess = spawn(process.execPath, [EXAMPLE, "--grpc", "127.0.0.1:0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const line = await new Promise<string>((resolve) => {
        child.stdout!.once("data", (chunk: Buffer) => {
          resolve(chunk.toString());
        });
      });
      const address = /^listening on (127\.0\.0\.1:\d+)\n$/.exec(line)![1]!;
      await expectAllWays({ grpc: address });
    } finally {
      child.kill();
    }
  });

  it("over a unix socket", async () => {
    await withServer({ address: `unix://${inFolder("socket")}` }, {}, expectAllWays);
  });

  it("over TLS", async () => {
    const tls = { cert: readFileSync(tlsFile("server")), key: readFileSync(tlsFile("server.key")) };
    const trust = { "root-ca-file": tlsFile("ca"), "server-name": "provider.test" };
    await withServer({ tls }, { "grpc-tls": trust }, expectAllWays);
  });

  it("over TLS with a client certificate", async () => {
    const tls = {
      cert: readFileSync(tlsFile("server")),
      key: readFileSync(tlsFile("server.key")),
      clientCa: readFileSync(tlsFile("ca")),
    };
    const trust = { "root-ca-file": tlsFile("ca") };
    const client = { "cert-file": tlsFile("client"), "key-file": tlsFile("client.key") };
    await withServer({ tls }, { "grpc-tls": { ...trust, ...client } }, expectAllWays);
    await withServer({ tls }, { "grpc-tls": trust }, async (entry) => {
      await expect(goEncrypt(entry)).rejects.toThrow(/^go: .*Unavailable/s);
    });
  });

  it("that answers in base64", async () => {
    await withServer({ encoding: "base64" }, {}, expectAllWays);
  });

  it("whose parameters and errors reach the other side", async () => {
    const seen: (readonly string[])[] = [];
    const refusing: KeyProvider = {
      wrapKey: (request) => {
        seen.push(request.params);
        return turning.wrapKey(request);
      },
      unwrapKey: () => Promise.resolve(null),
    };
    await withServer(
      { name: "p" },
      {},
      async (entry) => {
        const layer = await goEncrypt(entry, "x:y=z");
        expect(seen).toEqual([["x:y=z"]]);
        await expect(goDecrypt(layer, entry)).rejects.toThrow(
          /NotFound desc = the wrapped key belongs to another provider/,
        );
        await expect(ourDecrypt(layer, entry)).rejects.toMatchObject({ code: "PROVIDER_FAILED" });
      },
      refusing,
    );
  });

  it("whose requests are the same, byte for byte", async () => {
    const log = inFolder("requests");
    const path = writeScript(
      folder,
      "recorder",
      `const text = require("fs").readFileSync(0, "utf8");
       require("fs").appendFileSync(${JSON.stringify(log)}, text + "\\n");
       const { keywrapparams: { optsdata }, keyunwrapparams: { annotation } } = JSON.parse(text);
       console.log(JSON.stringify(
         { keywrapresults: { annotation: optsdata }, keyunwrapresults: { optsdata: annotation } }));`,
    );
    const entry = { cmd: { path } };
    await goDecrypt(await goEncrypt(entry), entry);
    const [wrap, unwrap, ...more] = readFileSync(log, "utf8").trimEnd().split("\n");
    expect(more).toEqual([]);
    const bytesOf = (request: string): Buffer =>
      Buffer.from(/"(?:optsdata|annotation)":"([^"]+)"/.exec(request)![1]!, "base64");
    const ours = [
      encodeRequest("keywrap", "p", ["a:b"], bytesOf(wrap!)),
      encodeRequest("keyunwrap", "p", ["Enabled"], bytesOf(unwrap!)),
    ];
    expect(ours.map((request) => Buffer.from(request).toString())).toEqual([wrap, unwrap]);
  });
});
