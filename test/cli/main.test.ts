import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { reply, testRegistry } from "../registry/server.js";
import { MAIN, outcome, run, runProgram, start, type Outcome } from "../support/command.js";
import {
  blobFile,
  createLayout,
  describedAs,
  layer,
  layoutOf,
  multiPlatform,
  putManifest,
  readEntries,
  readManifest,
  snapshot,
  tagged,
  TAR_GZIP,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../support/image.js";

const directory = temporaryDirectories();

const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const PUBLIC = `${KEYS}ec-p256.pub.jwk`;
const PRIVATE = `${KEYS}ec-p256.pem`;
const STRANGER = `${KEYS}ec-p384.pem`;

let plain: string;
let image: Entry;
let encrypted: string;

beforeAll(async () => {
  plain = directory();
  const stored = await layoutOf(plain, [await layer("a"), await layer("b")]);
  image = stored.descriptor;
  await writeIndex(plain, [tagged(image, "v1")]);
  encrypted = join(directory(), "encrypted");
  await expectDone(["encrypt", `oci:${plain}`, `oci:${encrypted}`, "-r", `jwe:${PUBLIC}`]);
});

async function expectDone(args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await run(args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

/** Expects one error message on stderr, and nothing on stdout. */
async function expectFailure(
  args: readonly string[],
  status: number,
  code: string,
): Promise<string> {
  const result = await run(args);
  expect(result.stdout).toBe("");
  expect(result.stderr).toMatch(new RegExp(`^error: [^\\n]+ \\(${code}\\)\\n(hint: [^\\n]+\\n)?$`));
  expect(result.status).toBe(status);
  return result.stderr;
}

describe.concurrent("a success", () => {
  it("of encrypt, inspect and decrypt is printed on stdout", async () => {
    const there = join(directory(), "there");
    const back = join(directory(), "back");
    const done = await expectDone(["encrypt", `oci:${plain}:v1`, `oci:${there}:v2`, "-r", `jwe:${PUBLIC}`]); // prettier-ignore
    expect(done).toMatch(/^encrypted 2 layers\n( {2}layer [01] .+ -> sha256:[0-9a-f]{12}\n){2}/);
    const [entry] = await readEntries(there);
    expect(done).toContain(`oci:${there}:v2 is ${entry!.digest}\n`);

    const report = await expectDone(["inspect", `oci:${there}`, "-k", PRIVATE, "-k", STRANGER]);
    expect(report).toContain(entry!.digest);
    expect(report).toContain("ECDH-ES+A128KW");
    expect(report).toContain("    jwe:0  ECDH-ES+A128KW  kid ec-p256\n");
    expect(report).toContain(`opens with ${PRIVATE} (jwe:0)\n`);
    expect(report).toContain(`not with ${STRANGER}`);

    const undone = await expectDone(["decrypt", `oci:${there}`, `oci:${back}:v3`, "-k", PRIVATE]);
    expect(undone).toMatch(/^decrypted 2 layers\n( {2}layer [01] .+ {2}diffID verified\n){2}/);
    expect(undone).toContain(`oci:${back}:v3 is ${image.digest}\n`);
    expect(await readEntries(back)).toEqual([tagged(image, "v3")]);
  });

  it("is printed with the platform if there is one", async () => {
    const path = directory();
    await multiPlatform(path);
    const there = join(directory(), "there");
    const args = ["--platform", "linux/arm64", "--layer", "-1", "-r", `jwe:${PUBLIC}`];
    const done = await expectDone(["encrypt", `oci:${path}`, `oci:${there}`, ...args]);
    expect(done).toMatch(/^encrypted 1 layer\n {2}linux\/arm64\/v8 {2}layer 1 /);
  });

  it("is only the digest with --quiet, and is written to the file of --digestfile", async () => {
    const there = join(directory(), "there");
    const file = join(directory(), "digest");
    const common = ["-r", `jwe:${PUBLIC}`, "--quiet", "--digestfile", file];
    const printed = await expectDone(["encrypt", `oci:${plain}`, `oci:${there}`, ...common]);
    const [entry] = await readEntries(there);
    expect(printed).toBe(`${entry!.digest}\n`);
    expect(readFileSync(file, "utf8")).toBe(entry!.digest);
    expect(await expectDone(["inspect", `oci:${there}`, "-q"])).toBe(printed);
    expect(await expectDone(["recipients", "list", `oci:${there}`, "-q"])).toBe(printed);
  });

  it("may come with warnings, on stderr", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const args = ["encrypt", `oci:${path}`, `oci:${path}`, "-r", `jwe:${PUBLIC}`];
    const { status, stdout, stderr } = await run(args);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^encrypted 1 layer\n/);
    expect(stderr).toMatch(/^warning: [^\n]*1 plain layer[^\n]*\n$/);
  });

  it("accepts skopeo's names for options", async () => {
    const there = join(directory(), "there");
    const encrypt = ["--encryption-key", `jwe:${PUBLIC}`, "--encrypt-layer", "-1"];
    await expectDone(["encrypt", `oci:${plain}`, `oci:${there}`, ...encrypt]);
    const { layers } = await readManifest(there, (await readEntries(there))[0]!);
    expect(layers.map(({ mediaType }) => mediaType)).toEqual([TAR_GZIP, `${TAR_GZIP}+encrypted`]);
    const decrypt = ["--decryption-key", PRIVATE];
    const done = await expectDone(["decrypt", `oci:${there}`, `oci:${there}`, ...decrypt]);
    expect(done).toContain(image.digest);
  });
});

/** The names of the members of a JSON value, in order. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shape);
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shape(each)]));
}

describe.concurrent("JSON", () => {
  const content = { mediaType: "string", digest: "string", size: "number" };
  const descriptor = { ...content, annotations: { "org.opencontainers.image.ref.name": "string" } };
  const layerShape = { platform: "string", index: "number", before: content, after: content };

  it("of encrypt", async () => {
    const [source, destination] = [`oci:${plain}:v1`, `oci:${directory()}:v2`];
    const args = ["encrypt", source, destination, "-r", `jwe:${PUBLIC}`, "--json"];
    const result = JSON.parse(await expectDone(args)) as Record<string, unknown>;
    expect(shape(result)).toEqual({
      ...{ source: "string", destination: "string", image: descriptor },
      ...{ layers: [layerShape, layerShape], warnings: [] },
    });
    expect(result).toMatchObject({ source, destination });
  });

  it("of decrypt, even if it is quiet", async () => {
    const [source, destination] = [`oci:${encrypted}`, `oci:${directory()}:v3`];
    const args = ["decrypt", source, destination, "-k", PRIVATE, "--json", "-q"];
    const result = JSON.parse(await expectDone(args)) as Record<string, unknown>;
    const decryptedShape = { ...layerShape, diffId: "string", bound: "boolean" };
    expect(shape(result)).toEqual({
      ...{ source: "string", destination: "string", image: descriptor },
      layers: [decryptedShape, decryptedShape],
      warnings: [],
    });
    expect(result).toMatchObject({ source, destination, image: { digest: image.digest } });
  });

  it("of inspect", async () => {
    const args = ["inspect", `oci:${encrypted}`, "-k", PRIVATE, "-k", STRANGER, "--json"];
    const result: unknown = JSON.parse(await expectDone(args));
    const recipient = { scheme: "string", index: "number", algorithm: "string", keyId: "string" };
    const opening = { key: "string", opens: "boolean", scheme: "string", index: "number" };
    const reader = { profile: "string", reads: "boolean", problems: expect.any(Array) as unknown };
    const each = {
      ...{ index: "number", ...content, encrypted: "boolean", recipients: [recipient] },
      readers: [reader, reader],
      keys: [
        { ...opening, binding: "string", reasons: [] },
        { key: "string", opens: "boolean", reasons: expect.any(Array) as unknown },
      ],
    };
    expect(shape(result)).toEqual({
      ...{ image: "string", digest: "string", mediaType: "string" },
      manifests: [{ platform: "string", digest: "string", layers: [each, each] }],
    });
    expect(result).toMatchObject({
      image: `oci:${encrypted}`,
      manifests: [
        {
          platform: "-",
          layers: [
            {
              keys: [
                { key: PRIVATE, opens: true },
                { key: STRANGER, opens: false },
              ],
            },
            {},
          ],
        },
      ],
    });
  });

  it.each([
    ["of wrong usage", ["encrypt", "oci:a", "--json"], 2, "USAGE"],
    ["of an unknown option", ["inspect", "oci:a", "--json", "--x"], 2, "USAGE"],
    ["of a wrong reference", ["inspect", "sif:a", "--json"], 2, "REFERENCE_INVALID"],
    ["of a failure", ["inspect", "oci:/nonexistent", "--json"], 1, "IMAGE_NOT_FOUND"],
  ])("%s", async (_, args, status, code) => {
    const result = await run(args);
    expect(result.status).toBe(status);
    expect(result.stdout).toBe("");
    const printed = JSON.parse(result.stderr) as { error: { code: string; message: string } };
    expect(shape(printed)).toEqual({
      error: { code: "string", message: "string", hint: "string" },
    });
    expect(printed.error.code).toBe(code);
  });
});

describe.concurrent("an exit status", () => {
  it("of 1 is a failure", async () => {
    const stderr = await expectFailure(["inspect", "oci:/nonexistent"], 1, "IMAGE_NOT_FOUND");
    expect(stderr).toContain("/nonexistent");
  });

  it("of 1 names the existing tags", async () => {
    const args = ["inspect", `oci:${plain}:v7`];
    expect(await expectFailure(args, 1, "IMAGE_NOT_FOUND")).toContain("v1");
  });

  it.each([
    ["a typing mistake", ["encryt", "oci:a", "oci:b"], "did you mean encrypt?"],
    ["a typing mistake", ["encrypt", "oci:a", "oci:b", "--recipent", "x"], "did you mean --recipient?"], // prettier-ignore
    ["a missing argument", ["decrypt", "oci:a", "-k", "x"], "ocicrypt decrypt"],
    ["a missing key", ["decrypt", "oci:a", "oci:b"], "-k private.pem"],
    ["a wrong recipient", ["encrypt", "oci:a", "oci:b", "-r", "key.pem"], "jwe:FILE"],
    ["an option without its value", ["decrypt", "oci:a", "oci:b", "-k"], "such as -k private.pem"],
    ["a descriptor that is closed", ["inspect", "oci:a", "-k", `${PRIVATE}:fd=77`], "FILE:fd=3"],
  ])("of 2 is wrong usage: %s", async (_, args, hint) => {
    expect(await expectFailure(args, 2, "USAGE")).toContain(hint);
  });

  it("of 2 is wrong usage: a wrong image", async () => {
    await expectFailure(["inspect", "sif:app"], 2, "REFERENCE_INVALID");
  });

  it("of 2 is wrong usage: nothing at all", async () => {
    const { status, stdout, stderr } = await run([]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^Usage: ocicrypt <command>/);
  });

  it("of 3 is a key that does not fit", async () => {
    const parent = directory();
    const args = ["decrypt", `oci:${encrypted}`, `oci:${parent}/new`, "-k", STRANGER];
    await expectFailure(args, 3, "NO_MATCHING_KEY");
    expect(await snapshot(parent)).toEqual({});
  });

  it("of 1 reports first that a recipient to remove was not found", async () => {
    const args = ["recipients", "remove", `oci:${encrypted}`, "--recipient-id", "bogus"];
    const before = await snapshot(encrypted);
    for (const more of [
      ["-k", PRIVATE],
      ["--recipient-id", "jwe:0"],
    ]) {
      const stderr = await expectFailure([...args, ...more], 1, "RECIPIENT_NOT_FOUND");
      expect(stderr).toContain('"bogus"');
    }
    await expectFailure([...args.slice(0, 3), "-k", PRIVATE], 1, "LAST_RECIPIENT");
    expect(await snapshot(encrypted)).toEqual(before);
  });

  it("of 1 reports a platform that the image does not have", async () => {
    const args = ["encrypt", `oci:${plain}`, "oci:/nonexistent/new", "-r", `jwe:${PUBLIC}`];
    const platform = ["--platform", "linux/arm64"];
    const stderr = await expectFailure([...args, ...platform], 1, "NOTHING_SELECTED");
    expect(stderr).toContain("a single manifest");
    expect(stderr).toContain("omit --platform");
  });

  it("of 4 is content that does not verify", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const { layers } = await readManifest(path, (await readEntries(path))[0]!);
    await writeFile(blobFile(path, layers[0]!.digest), "x", { flag: "a" });
    const parent = directory();
    const args = ["encrypt", `oci:${path}`, `oci:${parent}/new`, "-r", `jwe:${PUBLIC}`];
    await expectFailure(args, 4, "BLOB_SIZE_MISMATCH");
    expect(await snapshot(parent)).toEqual({});
  });

  it("of 0 is an inspection, whether or not a key fits", async () => {
    const report = await expectDone(["inspect", `oci:${encrypted}`, "-k", STRANGER]);
    expect(report).toContain("not with");
  });
});

describe.concurrent("help", () => {
  it("of a command can be asked for in several ways", async () => {
    const text = await expectDone(["encrypt", "--help"]);
    expect(text).toMatch(/^Usage: ocicrypt encrypt /);
    expect(await expectDone(["help", "encrypt"])).toBe(text);
    expect(await expectDone(["-h", "encrypt", "too", "many"])).toBe(text);
  });

  it.each(["decrypt", "inspect"])("of %s", async (command) => {
    expect(await expectDone([command, "-h"])).toMatch(new RegExp(`^Usage: ocicrypt ${command} `));
  });

  it("of recipients", async () => {
    const text = await expectDone(["recipients", "--help"]);
    expect(text).toContain("  recipients replace  ");
    expect(await expectDone(["help", "recipients"])).toBe(text);
  });

  it("of all", async () => {
    const text = await expectDone(["--help"]);
    for (const command of ["encrypt", "decrypt", "inspect"]) {
      expect(text).toContain(`  ${command} `);
    }
    expect(await expectDone(["help"])).toBe(text);
  });
});

describe.concurrent("the version", () => {
  it("is that of the package", async () => {
    const file = new URL("../../package.json", import.meta.url);
    const { version } = JSON.parse(await readFile(file, "utf8")) as { version: string };
    expect(await expectDone(["--version"])).toBe(`${version}\n`);
  });
});

describe.concurrent("a password", () => {
  const password = "pa55:w ord=\u00fc";
  let key: string;
  let source: string;

  beforeAll(async () => {
    const folder = directory();
    key = join(folder, "locked:key.pem");
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const locked = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: password };
    writeFileSync(key, pair.privateKey.export(locked as never));
    writeFileSync(
      join(folder, "public.pem"),
      pair.publicKey.export({ type: "spki", format: "pem" }),
    );
    writeFileSync(join(folder, "password"), `${password}\n`);
    source = join(folder, "image");
    const recipient = `jwe:${join(folder, "public.pem")}`;
    await expectDone(["encrypt", `oci:${plain}`, `oci:${source}`, "-r", recipient]);
  });

  function decrypt(
    given: string,
    options?: Parameters<typeof run>[1],
  ): { parent: string; result: Promise<Outcome> } {
    const parent = directory();
    const args = ["decrypt", `oci:${source}`, `oci:${parent}/new`, "-k", key + given];
    return { parent, result: run(args, options) };
  }

  it.each([
    ["in the argument", () => `:pass=${password}`],
    ["in the argument, as for skopeo", () => `:${password}`],
    ["in a file", () => `:file=${join(key, "../password")}`],
    ["in the environment", () => ":env=OCICRYPT_TEST_PASSWORD"],
    ["behind a descriptor", () => ":fd=3"],
  ])("may come %s", async (_, given) => {
    const descriptor = openSync(join(key, "../password"), "r");
    try {
      const { result } = decrypt(given(), {
        env: { OCICRYPT_TEST_PASSWORD: password },
        descriptors: [descriptor],
      });
      const { status, stdout, stderr } = await result;
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(stdout).toContain(image.digest);
      expect(stdout).not.toContain(password);
    } finally {
      closeSync(descriptor);
    }
  });

  it.each([
    ["missing", "", "PASSWORD_MISSING", "FILE:file="],
    ["wrong", ":pass=wr0ng:one", "PASSWORD_WRONG", "file="],
    ["wrong, without form", ":wr0ng:one", "PASSWORD_WRONG", "file="],
  ])("that is %s is not shown, but the hint says what to do", async (_, given, code, hint) => {
    const { parent, result } = decrypt(given);
    const { status, stdout, stderr } = await result;
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toContain(`(${code})`);
    expect(stderr).toContain(key);
    expect(stderr).toMatch(/\nhint: [^\n]+\n$/);
    expect(stderr).toContain(hint);
    expect(stderr).not.toContain("wr0ng");
    expect(await snapshot(parent)).toEqual({});
  });

  it.each([
    ["a wrong image", ["decrypt", "oci:/nonexistent", "oci:/nonexistent2"]],
    ["a wrong reference", ["decrypt", "app", "oci:b"]],
    ["a wrong option", ["encrypt", "oci:a", "oci:b"]],
    ["an image too many", ["decrypt", "oci:a", "oci:b", "oci:c"]],
  ])("is not shown beside %s", async (_, args) => {
    const { status, stdout, stderr } = await run([...args, "-k", `${key}:${password}`, "--json"]);
    expect(status).not.toBe(0);
    expect(stdout + stderr).not.toContain("pa55");
  });

  // The parts of the argument that no option takes are quoted in the message.
  it("is not shown if the option of the key was forgotten", async () => {
    const { stderr } = await run(["decrypt", "oci:a", `${key}:pass=${password}`, "-k", PRIVATE]);
    expect(stderr).not.toContain("pa55");
  });
});

describe.concurrent("a secret is not shown", () => {
  const pem = readFileSync(PRIVATE, "utf8");
  const der = createPrivateKey(pem).export({ type: "pkcs8", format: "der" });

  it.each([
    ["of a key without its option", [pem], "not by its content"],
    ["of a key without its option and form", [der.toString("base64")], "-k private.pem"],
    ["of a key as its file", ["-k", der.toString("base64")], "not its content"],
    ["of a password as a variable", ["-k", `${PRIVATE}:env=MIGHunter2`], "FILE:env=PASSWORD"],
    ["of a property that all objects have", ["-k", `${PRIVATE}:env=__proto__`], "USAGE"],
  ])("%s", async (_, args, words) => {
    const { status, stdout, stderr } = await run(["decrypt", "oci:a", "oci:b", ...args, "--json"]);
    expect(status).not.toBe(0);
    expect(stderr).toContain(words);
    expect(stdout + stderr).not.toMatch(/MIG/);
  });

  it("of a login in the name of an image", async () => {
    const args = ["inspect", "docker://alice:s3cret@127.0.0.1:1/enc/app:1", "--json"];
    const { status, stdout, stderr } = await run(args);
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /"code":"REFERENCE_INVALID","message":".*credentials do not go into.*","hint":"run ocicrypt login HOST, then/,
    );
    expect(stdout + stderr).not.toMatch(/alice|s3cret/);
  });
});

async function listening(answer: string): Promise<{ server: Server; port: string }> {
  const server = createServer((socket) => {
    if (answer !== "") socket.once("data", () => socket.end(answer));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: String((server.address() as AddressInfo).port) };
}

describe.concurrent("a registry", () => {
  it("without TLS is reported with the option for it", async () => {
    const { server, port } = await listening("HTTP/1.1 400 Bad Request\r\n\r\n");
    // This machine by a name that could be another's: those of its own need no TLS.
    const { stderr } = await run(["inspect", `docker://0.0.0.0:${port}/app`]);
    server.close();
    expect(stderr).toMatch(/does not speak TLS \(REGISTRY_UNREACHABLE\)\nhint: .*--plain-http/);
  });

  it.each([["inspect"], ["recipients", "list"]])(
    "that does not answer does not prevent an interrupt while reading: %s",
    async (...command) => {
      const { server, port } = await listening("");
      const asked = once(server, "connection");
      const child = start([...command, `docker://127.0.0.1:${port}/app`]);
      const ended = outcome(child);
      const [socket] = (await asked) as [Socket];
      child.kill("SIGINT");
      const { status, stdout, stderr } = await ended;
      socket.destroy();
      server.close();
      expect({ status, stdout, stderr }).toEqual({
        status: 130,
        stdout: "",
        stderr: "ocicrypt: interrupted\n",
      });
    },
  );
});

// Not beside others: the end of any of these would end the registry.
describe("an image in a registry", () => {
  it("shows its default tag in text, but not in JSON", async () => {
    const { host } = await testRegistry();
    const [locked, opened, fresh] = ["locked", "opened", "fresh"].map(
      (name) => `docker://${host}/${name}`,
    ) as [string, string, string];
    const recipient = ["-r", `jwe:${PUBLIC}`];
    const steps: [string[], string][] = [
      [["encrypt", `oci:${plain}`, locked, ...recipient], locked],
      [["recipients", "add", locked, ...recipient, "-k", PRIVATE], locked],
      [["rotate", locked, fresh, ...recipient, "-k", PRIVATE], fresh],
      [["decrypt", locked, opened, "-k", PRIVATE], opened],
    ];
    for (const [args, destination] of steps) {
      expect(await expectDone(args)).toContain(`\n${destination}:latest is sha256:`);
    }
    const printed = await expectDone([...(steps[3]?.[0] ?? []), "--json"]);
    expect(JSON.parse(printed)).toMatchObject({ source: locked, destination: opened });
  });
});

describe.concurrent("text of the image", () => {
  const EVIL = "\u001b]0;evil\u0007\u009b31m\r\u202e";
  const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/;

  it("is shown without control characters", async () => {
    const path = await createLayout(directory());
    const jwk = JSON.parse(readFileSync(PUBLIC, "utf8")) as object;
    const file = join(directory(), "public.jwk");
    await writeFile(file, JSON.stringify({ ...jwk, kid: EVIL }));
    const evil = describedAs(await layer("a"), { mediaType: `x/${EVIL}` });
    const { descriptor } = await putManifest(path, [evil, await layer("b")]);
    await writeIndex(path, [tagged(descriptor, EVIL)]);
    const there = directory();
    const done = await run(["encrypt", `oci:${path}`, `oci:${there}:x`, "-r", `jwe:${file}`]);
    const report = await run(["inspect", `oci:${there}`, "-k", STRANGER]);
    const missing = await run(["inspect", `oci:${path}:y`]);
    expect(done.status).toBe(0);
    expect(report.status).toBe(0);
    expect(report.stdout).toContain("kid \uFFFD]0;evil");
    expect(missing.stderr).toContain("\uFFFD]0;evil");
    for (const { stdout, stderr } of [done, report, missing]) {
      expect(stdout + stderr).not.toMatch(CONTROL);
    }
  });
});

describe.concurrent("a reader that stops early", () => {
  it.each([["--help"], ["inspect"]])("is no failure: %s", async (...args) => {
    const all = args[0] === "inspect" ? [...args, `oci:${encrypted}`] : args;
    const child = start(all);
    child.stdout!.destroy();
    const { status, stderr } = await outcome(child);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
});

describe.concurrent("progress", () => {
  it("is shown only on terminals", async () => {
    const args = ["encrypt", `oci:${plain}`, `oci:${directory()}`, "-r", `jwe:${PUBLIC}`];
    const { stderr } = await run(args);
    expect(stderr).toBe("");
  });

  async function onTerminal(skip: (why: string) => never, more: string): Promise<string> {
    const line = `'${process.execPath}' '${MAIN}' encrypt 'oci:${plain}' 'oci:${directory()}' -r 'jwe:${PUBLIC}' ${more}`; // prettier-ignore
    const { status, stdout } = await runProgram("script", ["-qec", line, "/dev/null"]).catch(
      (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === "ENOENT")
          return skip("script of util-linux is not installed");
        throw error;
      },
    );
    expect(status).toBe(0);
    return stdout;
  }

  it("is one line, which is removed at the end", async ({ skip }) => {
    const printed = await onTerminal(skip, "");
    expect(printed).toMatch(
      /^\r(encrypt|copy {3}) \[[#-]{24}\] +\d+% {2}[^\n]*\r\u001b\[Kencrypted 2 layers\r?\n/,
    );
  });

  it.for(["--quiet", "2>/dev/null"])("is not shown with %s", async (more, { skip }) => {
    expect(await onTerminal(skip, more)).not.toContain("\u001b");
  });
});

it.each([
  [[], /^GET \S+ was answered 503; trying again \(1 of 4\)\nerror: /],
  [["--quiet"], /^error: /],
])("reports retries of a registry, unless %j", async (options, expected) => {
  const registry = await testRegistry();
  let count = 0;
  registry.script = (_, response) => count++ === 0 && reply(response, 503);
  const { stderr } = await run(["inspect", `docker://${registry.host}/app:v1`, ...options]);
  expect(stderr).toMatch(expected);
  expect(stderr).toContain("IMAGE_NOT_FOUND");
});

describe.concurrent("a key on standard input", () => {
  async function withInput(args: readonly string[], input: string): Promise<Outcome> {
    return runProgram(
      "sh",
      ["-c", `printf %s "$INPUT" | "$0" "$@"`, process.execPath, MAIN, ...args],
      {
        env: { INPUT: input },
      },
    );
  }

  it("opens an image, or is a recipient", async () => {
    const key = readFileSync(PRIVATE, "utf8");
    const opened = await withInput(["inspect", `oci:${encrypted}`, "-k", "-"], key);
    expect(opened.stdout).toContain("opens with -");
    const there = `oci:${directory()}:x`;
    const args = ["encrypt", `oci:${plain}`, there, "-r", "jwe:-", "-q"];
    const { status, stderr } = await withInput(args, readFileSync(PUBLIC, "utf8"));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  it("can be read only once", async () => {
    const args = ["inspect", `oci:${encrypted}`, "-k", "-", "-k", "-"];
    const { status, stderr } = await withInput(args, readFileSync(PRIVATE, "utf8"));
    expect(status).toBe(2);
    expect(stderr).toContain("cannot both be standard input");
  });
});

describe.concurrent("an image that lacks its transport", () => {
  it("gets a transport suggested", async () => {
    const args = ["inspect", "127.0.0.1:5000/app:1"];
    const stderr = await expectFailure(args, 2, "REFERENCE_INVALID");
    expect(stderr).toContain("did you mean docker://127.0.0.1:5000/app:…?");
    const url = await run(["inspect", "https://registry.example/app:1"]);
    expect(url.stderr).toContain("did you mean docker://registry.example/app:1?");
    expect(await expectFailure(["inspect", plain], 2, "REFERENCE_INVALID")).toContain(
      `did you mean oci:${plain}?`,
    );
  });

  it.each(["docker-archive", "docker-daemon", "containers-storage"])(
    "is not written to %s:, and the message has the command that does",
    async (transport) => {
      const args = ["encrypt", `oci:${plain}`, `${transport}:app`, "-r", `jwe:${PUBLIC}`];
      const stderr = await expectFailure(args, 2, "REFERENCE_INVALID");
      expect(stderr).toContain(`run skopeo copy oci:DIR:TAG ${transport}:app`);
    },
  );
});

// Not beside others: the end of any of these would end the registry.
describe("credentials for a registry", () => {
  it("come from standard input or from a file, and --debug does not show them", async () => {
    const registry = await testRegistry();
    const seen: (string | undefined)[] = [];
    registry.script = (request, response) => {
      seen.push(request.headers.authorization);
      if (request.headers.authorization !== undefined) return false;
      response.setHeader("www-authenticate", 'Basic realm="test"');
      return reply(response, 401);
    };
    const expected = `Basic ${Buffer.from("alice:s3cret").toString("base64")}`;
    const image = `docker://${registry.host}/app:v1`;
    const args = ["inspect", image, "--creds-stdin", "--debug"];
    const line = `printf 'alice:s3cret\\n' | "$0" "$@"`;
    const { stderr } = await runProgram("sh", ["-c", line, process.execPath, MAIN, ...args]);
    expect(seen).toContain(expected);
    expect(stderr).toMatch(/debug: GET http:\/\/\S+\/v2\/app\/manifests\/v1/);
    expect(stderr).toMatch(/was answered 401/);
    expect(stderr).not.toMatch(/s3cret|YWxpY2U6/);
    seen.length = 0;
    const file = join(directory(), "auth.json");
    const auths = { [registry.host]: { auth: Buffer.from("alice:s3cret").toString("base64") } };
    writeFileSync(file, JSON.stringify({ auths }));
    await run(["inspect", image, "--authfile", file]);
    expect(seen).toContain(expected);
  });

  it.each([
    [["inspect", "docker://127.0.0.1:1/app", "--authfile", "/nonexistent"], "for --authfile"],
    [["inspect", "oci:app", "--creds-stdin"], "exactly one registry"],
  ])("are rejected: %j", async (args, words) => {
    expect(await expectFailure(args, 2, "USAGE")).toContain(words);
  });
});
