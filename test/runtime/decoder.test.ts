import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, describe } from "vitest";
import { keyServerRecipients } from "../../src/keyserver/index.js";
import { CLEVIS, tangServer } from "../support/tang.js";
import { DOCKER_TAR_GZIP, TAR, TAR_GZIP, TAR_ZSTD } from "../support/image.js";
import { writeScript } from "../keywrap/provider/script.js";
import {
  contentStore,
  decoderCommand,
  decoder,
  encrypted,
  keysDirectory,
  manifestOf,
  outcomeOf,
  payloadOf,
  peerKey,
  putInStore,
  startDecoder,
  workDirectory,
  type EncryptedLayer,
} from "./decoder-process.js";

const newDirectory = workDirectory();

/** Longer than what is held back. */
const PLAIN = randomBytes(300_000);
const layer = await encrypted(PLAIN);
const { cipher, descriptor } = layer;

const setUp = (...keys: string[]): { directory: string; args: string[] } => {
  const directory = newDirectory();
  const names = keys.length === 0 ? ["rsa2048.pkcs8.pem"] : keys;
  const args = ["--decryption-keys-path", keysDirectory(directory, ...names)];
  return { directory, args };
};

/** A changed layer: a bit of its start is flipped, with the digest and size of the result. */
function forge(from: EncryptedLayer): { cipher: Buffer; descriptor: object } {
  const forged = Buffer.from(from.cipher);
  forged[1000]! ^= 1;
  return { cipher: forged, descriptor: from.descriptor };
}

/** Expects a failure: one line with these words, and no byte of the layer. */
function expectFailure(
  { status, output, message }: { status: number | null; output: Buffer; message: string },
  ...words: string[]
): void {
  expect([status, output.byteLength]).toEqual([1, 0]);
  expect(message).toMatch(/^ocicrypt-decoder: [^\n]+\n$/);
  for (const word of words) expect(message).toContain(word);
}

describe("with a payload", () => {
  it.for([[], ["--verify", "stream"], ["--verify=first"]])("decrypts a layer: %j", async (more) => {
    const { directory, args } = setUp();
    const result = await decoder(directory, {
      args: [...args, ...more],
      payload: payloadOf(descriptor),
      input: cipher,
    });
    expect([result.message, result.status]).toEqual(["", 0]);
    expect(result.output.equals(PLAIN)).toBe(true);
  });

  it.each([TAR, TAR_GZIP, TAR_ZSTD, DOCKER_TAR_GZIP])(
    "decrypts a layer of type %s",
    async (type) => {
      const { directory, args } = setUp("ec256.pkcs8.pem");
      const small = await encrypted(Buffer.from("hello"), "ec256.pub.pem", type);
      // Encryption writes OCI's types; other tools keep those of Docker.
      const asWritten = { ...small.descriptor, mediaType: `${type}+encrypted` };
      const { status, output } = await decoder(directory, {
        ...{ args, payload: payloadOf(asWritten), input: small.cipher },
        env: { STREAM_PROCESSOR_MEDIATYPE: asWritten.mediaType },
      });
      expect([status, output.toString()]).toEqual([0, "hello"]);
    },
  );

  it("decrypts with the keys and passwords of the client", async () => {
    const parameters = {
      privkeys: [
        peerKey("ec256.pkcs8.pem").toString("base64"),
        peerKey("rsa2048.pkcs8.enc-v2.pem").toString("base64"),
      ],
      "privkeys-passwords": [null, Buffer.from("secret").toString("base64")],
      x509s: [peerKey("cert-rsa2048.pem").toString("base64")],
    };
    const { status, output } = await decoder(newDirectory(), {
      payload: payloadOf(descriptor, parameters),
      input: cipher,
    });
    expect([status, output.equals(PLAIN)]).toEqual([0, true]);
  });

  it("reads the layer from the content store, without its standard input", async () => {
    const { directory, args } = setUp();
    const store = contentStore(directory, [cipher]);
    const child = startDecoder(directory, {
      args: [...args, "--content-store", store],
      payload: payloadOf(descriptor),
    });
    const { status, output } = await outcomeOf(child);
    expect([status, output.equals(PLAIN)]).toEqual([0, true]);
  });

  it("reads its standard input if the content store has another blob there", async () => {
    const { directory, args } = setUp();
    const store = contentStore(directory, []);
    mkdirSync(join(store, "blobs", ...descriptor.digest.split(":")));
    const { status, output } = await decoder(directory, {
      ...{ args: [...args, "--content-store", store], payload: payloadOf(descriptor) },
      input: cipher,
    });
    expect([status, output.equals(PLAIN)]).toEqual([0, true]);
  });

  it("asks the key providers that the layer names, with the parameters of the client", async () => {
    const directory = newDirectory();
    const script = writeScript(
      directory,
      "provider",
      `const request = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
       const [params] = request.keyunwrapparams.dc.Parameters.p;
       if (Buffer.from(params, "base64").toString() !== "tenant-a") process.exit(1);
       process.stdout.write(JSON.stringify({
         keyunwrapresults: { optsdata: request.keyunwrapparams.annotation },
       }));`,
    );
    const config = join(directory, "providers.json");
    writeFileSync(config, JSON.stringify({ "key-providers": { p: { cmd: { path: script } } } }));
    const { annotations = {}, ...rest } = descriptor;
    const { craftLayer, ENC } = await import("../support/layers.js");
    const crafted = craftLayer(PLAIN);
    const named = {
      ...rest,
      annotations: {
        [`${ENC}keys.provider.p`]: crafted.descriptor.annotations[`${ENC}keys.test`],
        [`${ENC}pubopts`]: crafted.descriptor.annotations[`${ENC}pubopts`],
      },
      size: crafted.ciphertext.byteLength,
    };
    expect(Object.keys(annotations)).not.toEqual([]);
    const { status, output, message } = await decoder(directory, {
      payload: payloadOf(named, { p: [Buffer.from("tenant-a").toString("base64")] }),
      input: crafted.ciphertext,
      env: { OCICRYPT_KEYPROVIDER_CONFIG: config },
    });
    expect([message, status]).toEqual(["", 0]);
    expect(output.equals(PLAIN)).toBe(true);
  });

  it("asks the key servers of keys.yaml in the keys directory", async () => {
    const { one } = CLEVIS.servers;
    const server = await tangServer(one);
    const context = { settings: {}, readFile: () => Buffer.alloc(0) };
    const named = `tang:${server.url}?thp=${one.thp}`;
    const {
      found: [recipient],
    } = await keyServerRecipients(named, context);
    const { cipher: input, descriptor: served } = await encrypted(PLAIN, recipient);
    const { directory, args } = setUp();
    writeFileSync(join(args[1]!, "keys.yaml"), `tang:\n  servers: ${server.url}\n`);
    const payload = payloadOf(served);
    const { status, output, message } = await decoder(directory, { args, payload, input });
    expect([message, status]).toEqual(["", 0]);
    expect(output.equals(PLAIN)).toBe(true);
  });

  it.each(["first", "stream"])("refuses a changed layer: --verify %s", async (verify) => {
    const { directory, args } = setUp();
    const forged = forge(layer);
    const { status, output, message } = await decoder(directory, {
      args: [...args, "--verify", verify],
      payload: payloadOf(forged.descriptor),
      input: forged.cipher,
    });
    expect(status).toBe(1);
    expect(message).toContain("HMAC_MISMATCH");
    if (verify === "first") expect(output.byteLength).toBe(0);
    else expect(output.byteLength).toBeLessThanOrEqual(PLAIN.byteLength - 64 * 1024);
  });

  it.each<[string, Buffer]>([
    ["only", cipher.subarray(0, 1000)],
    ["more", Buffer.concat([cipher, Buffer.from("more")])],
  ])("refuses a standard input that has %s", async (word, input) => {
    const { directory, args } = setUp();
    const payload = payloadOf(descriptor);
    const result = await decoder(directory, { args, payload, input });
    expectFailure(result, word, "BLOB_SIZE_MISMATCH");
  });
});

describe("the payload", () => {
  const right = payloadOf(descriptor);

  it.each<[string, Buffer]>([
    ["is empty", Buffer.alloc(0)],
    ["is cut off", right.subarray(0, -10)],
    ["ends after its type", right.subarray(0, 35)],
    ["is not a protobuf Any", Buffer.from("hello")],
    ["has a length without end", Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff])],
    ["has two types", Buffer.concat([right.subarray(0, 35), right])],
    ["is of another type", payloadOf(descriptor, {}, "types.containerd.io/other")],
    ["has no descriptor", payloadOf(undefined)],
    ["has a descriptor without size", payloadOf({ ...descriptor, size: "12" })],
    ["has annotations that are no strings", payloadOf({ ...descriptor, annotations: { a: 1 } })],
    ["has parameters that are no object", payloadOf(descriptor, ["privkeys"])],
    ["has a parameter that is no list", payloadOf(descriptor, { privkeys: "a" })],
    ["has a parameter that is not base64", payloadOf(descriptor, { privkeys: ["%"] })],
    ["has a parameter of numbers", payloadOf(descriptor, { privkeys: [[1, 2]] })],
    ["is huge", payloadOf(descriptor, { privkeys: ["A".repeat(16 * 1024 * 1024)] })],
  ])("is refused if it %s", async (_, payload) => {
    const { directory, args } = setUp();
    const result = await decoder(directory, { args, payload, input: cipher });
    expectFailure(result, "PAYLOAD_INVALID");
  });

  it("is missing if file descriptor 3 is not open", async () => {
    const { directory, args } = setUp();
    expectFailure(await decoder(directory, { args, input: cipher }), "PAYLOAD_MISSING");
  });

  it("is missing if file descriptor 3 is a socket or a device", async () => {
    const { directory, args } = setUp();
    for (const third of ["pipe", "ignore"] as const) {
      const result = await decoder(directory, { args, input: cipher, third });
      expectFailure(result, "PAYLOAD_MISSING", "--content-store");
    }
  });

  it("is missing if a shell closes file descriptor 3", () => {
    const { args } = setUp();
    const script = 'exec 3>&-; exec "$@"';
    const { status, stderr } = spawnSync("sh", ["-c", script, "sh", ...decoderCommand(), ...args], {
      input: cipher,
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toContain("PAYLOAD_MISSING");
  });

  it("is read from a pipe", () => {
    const { directory, args } = setUp();
    const files = { input: join(directory, "input"), payload: join(directory, "payload") };
    writeFileSync(files.input, cipher);
    writeFileSync(files.payload, payloadOf(descriptor));
    const script = 'cat "$PAYLOAD" | { exec 3<&0 <"$INPUT"; exec "$@"; }';
    const { status, stdout } = spawnSync("sh", ["-c", script, "sh", ...decoderCommand(), ...args], {
      env: { ...process.env, PAYLOAD: files.payload, INPUT: files.input },
    });
    expect([status, stdout.equals(PLAIN)]).toEqual([0, true]);
  });
});

describe("without a payload", () => {
  it("finds the layer in the content store", async () => {
    const { directory, args } = setUp();
    const plainLayer = { mediaType: TAR, digest: `sha256:${"0".repeat(64)}`, size: 1 };
    const store = contentStore(directory, [cipher, manifestOf(plainLayer, descriptor), "{}", "[]"]);
    const result = await decoder(directory, {
      args: [...args, "--content-store", store],
      input: cipher,
    });
    expect([result.message, result.status]).toEqual(["", 0]);
    expect(result.output.equals(PLAIN)).toBe(true);
  });

  it("tries every manifest that names the layer, the newest first", async () => {
    const { directory, args } = setUp();
    const other = await encrypted(PLAIN, "rsa3072.pub.pem");
    const foreign = { ...descriptor, annotations: other.descriptor.annotations };
    const wrongSize = { ...descriptor, size: 1 };
    const store = contentStore(directory, [cipher, manifestOf(wrongSize)]);
    utimesSync(putInStore(store, manifestOf(descriptor)), 1, 1);
    putInStore(store, manifestOf(foreign));
    const { status, output } = await decoder(directory, {
      args: [...args, "--content-store", store],
      input: cipher,
    });
    expect([status, output.equals(PLAIN)]).toEqual([0, true]);
  });

  it("prefers a manifest whose key yields a layer to one whose key yields noise", async () => {
    const { directory, args } = setUp();
    // A zstd frame, as far as its magic number.
    const start = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), randomBytes(1000)]);
    const real = await encrypted(start);
    // An attacker's key and HMAC, wrapped for the key of the node, over the same ciphertext.
    const { craftLayer } = await import("../support/layers.js");
    const { jwe } = await import("../../src/keywrap/jwe/index.js");
    const { createHmac } = await import("node:crypto");
    const key = randomBytes(32);
    const noise = craftLayer(start).descriptor.annotations;
    const wrapped = await jwe.recipient(peerKey("rsa2048.pub.pem")).wrap(
      Buffer.from(
        JSON.stringify({
          symkey: key.toString("base64"),
          digest: "",
          cipheroptions: { nonce: randomBytes(16).toString("base64") },
        }),
      ),
    );
    const publicOptions = {
      cipher: "AES_256_CTR_HMAC_SHA256",
      hmac: createHmac("sha256", key).update(real.cipher).digest("base64"),
      cipheroptions: {},
    };
    expect(noise).not.toEqual({});
    const hostile = {
      ...real.descriptor,
      annotations: {
        "org.opencontainers.image.enc.keys.jwe": Buffer.from(wrapped).toString("base64"),
        "org.opencontainers.image.enc.pubopts": Buffer.from(JSON.stringify(publicOptions)).toString(
          "base64",
        ),
      },
    };
    const store = contentStore(directory, [real.cipher]);
    utimesSync(putInStore(store, manifestOf(real.descriptor)), 1, 1);
    putInStore(store, manifestOf(hostile));
    const { status, output } = await decoder(directory, {
      args: [...args, "--content-store", store],
      input: real.cipher,
    });
    expect([status, output.equals(start)]).toEqual([0, true]);
  });

  it("skips damaged manifests, and indexes that name the layer", async () => {
    const { directory, args } = setUp();
    const good = manifestOf(descriptor);
    const damaged = [good.slice(0, -5), good.replace("{", '{"layers":[],'), `{"a":"${descriptor.digest}"}`]; // prettier-ignore
    const store = contentStore(directory, [cipher, good, ...damaged]);
    const { status, output } = await decoder(directory, {
      args: [...args, "--content-store", store],
      input: cipher,
    });
    expect([status, output.equals(PLAIN)]).toEqual([0, true]);
    const without = contentStore(newDirectory(), [cipher, ...damaged]);
    const result = await decoder(directory, {
      args: [...args, "--content-store", without],
      input: cipher,
    });
    expectFailure(result, "PAYLOAD_MISSING", descriptor.digest);
  });

  // A single-file build would only be slower.
  it.skipIf(process.env.OCICRYPT_DECODER !== undefined)(
    "tries 10,000 manifests that name the layer with different keys",
    { timeout: 120_000 },
    async () => {
      const { directory, args } = setUp();
      const store = contentStore(directory, [cipher]);
      utimesSync(putInStore(store, manifestOf(descriptor)), 1, 1);
      const name = "org.opencontainers.image.enc.keys.jwe";
      for (let i = 0; i < 10_000; i++) {
        const list = Buffer.from(`{"i":${String(i)}}`).toString("base64");
        const annotations = { ...descriptor.annotations, [name]: list };
        putInStore(store, manifestOf({ ...descriptor, annotations }));
      }
      const { status, output, message } = await decoder(directory, {
        args: [...args, "--content-store", store],
        input: cipher,
      });
      expect([status, message]).toEqual([0, ""]);
      expect(output.equals(PLAIN)).toBe(true);
    },
  );

  it("refuses a changed layer", async () => {
    const { directory, args } = setUp();
    const forged = forge(layer);
    const { digestOf } = await import("../support/image.js");
    const named = { ...descriptor, digest: digestOf(forged.cipher) };
    const store = contentStore(directory, [forged.cipher, manifestOf(named)]);
    const result = await decoder(directory, {
      args: [...args, "--content-store", store],
      input: forged.cipher,
    });
    expectFailure(result, "HMAC_MISMATCH");
  });

  it("fails if the content store cannot be read, or does not hold the layer", async () => {
    const { directory, args } = setUp();
    const missing = join(directory, "missing");
    const nowhere = await decoder(directory, {
      args: [...args, "--content-store", missing],
      input: cipher,
    });
    expectFailure(nowhere, "BLOB_NOT_FOUND", missing);
    const file = join(directory, "file");
    mkdirSync(join(directory, "half", "blobs"), { recursive: true });
    writeFileSync(join(directory, "half", "blobs", "sha256"), "");
    writeFileSync(file, "");
    for (const store of [file, join(directory, "half")]) {
      const result = await decoder(directory, {
        args: [...args, "--content-store", store],
        input: cipher,
      });
      expectFailure(result, "BLOB_NOT_FOUND");
    }
    const loop = join(directory, "loop");
    symlinkSync(loop, loop);
    const result = await decoder(directory, {
      args: [...args, "--content-store", loop],
      input: cipher,
    });
    expectFailure(result, "SOURCE_UNREADABLE", "ELOOP");
  });
});

describe("the keys", () => {
  const payload = payloadOf(descriptor);

  it("may be in several directories and files, behind symbolic links", async () => {
    const directory = newDirectory();
    mkdirSync(join(directory, "a", "..data"), { recursive: true });
    writeFileSync(join(directory, "a", "..data", "locked"), peerKey("rsa2048.pkcs8.enc-v2.pem"));
    writeFileSync(join(directory, "a", "..data", "locked.password"), "secret\n", { mode: 0o400 });
    for (const name of ["locked", "locked.password"]) {
      symlinkSync(join("..data", name), join(directory, "a", name));
    }
    writeFileSync(join(directory, "a", "README"), "hello");
    writeFileSync(join(directory, "b.pem"), peerKey("ec256.pkcs8.pem"));
    const paths = [join(directory, "b.pem"), join(directory, "a")];
    const args = paths.flatMap((path) => ["--decryption-keys-path", path]);
    const { status, output, message } = await decoder(directory, { args, payload, input: cipher });
    expect([status, output.equals(PLAIN)]).toEqual([0, true]);
    expect(message).toMatch(/^warning: [^\n]*README: [^\n]*\n$/);
  });

  it.each<[string, (directory: string) => string, string[]]>([
    ["missing", (directory) => join(directory, "missing"), ["KEY_UNREADABLE", "ENOENT"]],
    [
      "a loop of links",
      (directory) => {
        symlinkSync(join(directory, "loop"), join(directory, "loop"));
        return join(directory, "loop");
      },
      ["KEY_UNREADABLE", "ELOOP"],
    ],
    [
      "a file that is not a key",
      (directory) => {
        writeFileSync(join(directory, "file"), "hello");
        return join(directory, "file");
      },
      ["KEY_UNRECOGNIZED", "file"],
    ],
    [
      "empty",
      (directory) => {
        mkdirSync(join(directory, "empty"));
        return join(directory, "empty");
      },
      ["NO_KEYS", "put a private key into"],
    ],
  ])("are reported if their directory is %s", async (_, make, words) => {
    const directory = newDirectory();
    const args = ["--decryption-keys-path", make(directory)];
    expectFailure(await decoder(directory, { args, payload, input: cipher }), ...words);
  });

  it.runIf(process.platform === "linux")(
    "are reported if their directory is unreadable, as is a content store",
    ({ skip }) => {
      const { directory, args } = setUp();
      const drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
      const [program = "", ...before] = [
        // Nothing is unreadable for root with all its capabilities.
        ...(process.getuid?.() === 0 ? drop : []),
        ...decoderCommand(),
      ];
      const start = (...rest: string[]): SpawnSyncReturns<string> =>
        spawnSync(program, [...before, ...rest], { input: cipher, encoding: "utf8" });
      skip(start("--help").status !== 0, "root cannot drop its capabilities here");
      const closed = join(directory, "closed");
      mkdirSync(closed, { mode: 0 });
      const held = contentStore(directory, [cipher, manifestOf(descriptor)]);
      const keys = start("--decryption-keys-path", closed, "--content-store", held);
      expect([keys.status, keys.stdout]).toEqual([1, ""]);
      expect(keys.stderr).toMatch(/EACCES.*KEY_UNREADABLE/);
      const store = start(...args, "--content-store", closed);
      expect([store.status, store.stdout]).toEqual([1, ""]);
      expect(store.stderr).toMatch(/EACCES.*SOURCE_UNREADABLE/);
    },
  );

  it("are reported if the directory does not exist, and if no key opens the layer", async () => {
    const directory = newDirectory();
    expectFailure(await decoder(directory, { payload, input: cipher }), "NO_KEYS");
    const keys = keysDirectory(directory, "ec256.pkcs8.pem", "rsa2048.pub.pem");
    const args = ["--decryption-keys-path", keys];
    const result = await decoder(directory, { args, payload, input: cipher });
    expectFailure(result, "NO_MATCHING_KEY", "not used: ", "rsa2048.pub.pem");
  });

  it("are reported if their password is wrong, and the other keys are still used", async () => {
    const directory = newDirectory();
    const keys = keysDirectory(directory, "rsa2048.pkcs8.enc-v2.pem");
    writeFileSync(join(keys, "rsa2048.pkcs8.enc-v2.pem.password"), "no", { mode: 0o400 });
    const args = ["--decryption-keys-path", keys];
    const alone = await decoder(directory, { args, payload, input: cipher });
    expectFailure(alone, "PASSWORD_WRONG", "NAME.password");
    expect(alone.message).not.toContain('"no"');
    writeFileSync(join(keys, "other.pem"), peerKey("rsa2048.pkcs8.pem"));
    const { status, message } = await decoder(directory, { args, payload, input: cipher });
    expect(status).toBe(0);
    expect(message).toContain("warning: ");
  });
});

describe("its end", () => {
  const payload = payloadOf(descriptor);

  it("leaves nothing behind when there is no space for the copy of the layer", () => {
    const { directory, args } = setUp();
    const temporary = join(directory, "tmp");
    mkdirSync(temporary);
    const files = { input: join(directory, "input"), payload: join(directory, "payload") };
    writeFileSync(files.input, cipher);
    writeFileSync(files.payload, payload);
    // Blocks of 512 bytes: less than the layer has.
    const script = 'ulimit -f 100; exec "$@" 3<"$PAYLOAD" <"$INPUT"';
    const { status, stdout, stderr } = spawnSync(
      "sh",
      ["-c", script, "sh", ...decoderCommand(), ...args],
      {
        env: { ...process.env, PAYLOAD: files.payload, INPUT: files.input, TMPDIR: temporary },
        encoding: "utf8",
      },
    );
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^ocicrypt-decoder: [^\n]*no space left [^\n]*DESTINATION_FULL[^\n]*\n$/,
    );
    expect(readdirSync(temporary)).toEqual([]);
  });

  it("prints its usage", async () => {
    const directory = newDirectory();
    const help = await decoder(directory, { args: ["--help"], input: Buffer.alloc(0) });
    expect(help.output.toString()).toContain("--content-store DIR");
    const wrong = await decoder(directory, { args: ["--verify", "never"], input: cipher });
    expectFailure(wrong, "--verify takes first or stream");
    expectFailure(await decoder(directory, { args: ["--key", "a"], input: cipher }), "--key");
  });
});
