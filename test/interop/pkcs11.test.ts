import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { decryptLayer, encryptLayer, type Descriptor, type ErrorCode } from "../../src/index.js";
import {
  CKA_ENCRYPT,
  CKA_LABEL,
  CKA_PUBLIC_EXPONENT,
  CKF_SERIAL_SESSION,
  CKU_USER,
  type Attribute,
  type Cryptoki,
} from "../../src/keywrap/pkcs11/module.js";
import { pkcs11, type Key, type Pkcs11Js, type Recipient } from "../../src/keywrap/pkcs11/index.js";
import { wholeText } from "../keywrap/pkcs11/whole-text.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { sha256, vectorFile } from "../support/vectors.js";
import { buildGoProgram, hasProgram, requirePeer, run, temporaryDirectory } from "./peers.js";

const SOFTHSM = [
  "/usr/lib64/pkcs11/libsofthsm2.so",
  "/usr/lib/pkcs11/libsofthsm2.so",
  "/usr/local/lib/softhsm/libsofthsm2.so",
  "/usr/lib/softhsm/libsofthsm2.so",
].find((path) => existsSync(path));
const SOFTOKEN = ["/usr/lib64/libsoftokn3.so", "/usr/lib/x86_64-linux-gnu/libsoftokn3.so"].find(
  (path) => existsSync(path),
);

const HAS_SOFTHSM =
  SOFTHSM !== undefined &&
  hasProgram("softhsm2-util", "--version") &&
  spawnSync("pkcs11-tool").error === undefined && // no option of it ends with 0
  hasProgram("openssl", "version");

const PIN = "user-pin-4711";
const PLAIN = vectorFile("peers/layers/plain.bin");
const LAYER: Descriptor = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: sha256(PLAIN),
  size: PLAIN.byteLength,
};

const directory = temporaryDirectory();
let pkcs11js: Pkcs11Js | undefined;
let go: string | undefined;
let serial = "";

beforeAll(() => {
  vi.stubEnv("CGO_ENABLED", "1");
  go = buildGoProgram(directory);
  pkcs11js = installPkcs11js();
  if (!HAS_SOFTHSM) return;
  makeToken("oci", "tokens");
  serial = /Serial number:\s+(\S+)[\s\S]*?Label:\s+oci\s/.exec(
    softhsm("tokens", "--show-slots"),
  )![1]!;
  for (const [label, id, type] of [
    ["rsa2048", "01", "rsa:2048"],
    ["rsa3072", "02", "rsa:3072"],
    ["twin", "03", "rsa:2048"],
    ["twin", "04", "rsa:2048"],
    ["Schlüssel; 1", "ff00", "rsa:2048"],
    ["ec", "06", "EC:prime256v1"],
  ] as const) {
    tool("--keypairgen", "--label", label, "--id", id, "--key-type", type, "--usage-decrypt");
  }
  tool("--keygen", "--label", "aes", "--id", "08", "--key-type", "AES:32");
  for (const [name, id] of [
    ["rsa2048", "a1"],
    ["rsa3072", "a2"],
  ] as const) {
    const file = join(directory, `${name}.pem`);
    writeFileSync(file, vectorFile(`peers/layers/keys/${name}.pem`));
    execFileSync("openssl", ["pkcs8", "-topk8", "-nocrypt", "-in", file, "-out", `${file}8`]);
    const names = ["--label", `imported-${name}`, "--id", id];
    softhsm("tokens", "--import", `${file}8`, "--token", "oci", "--pin", PIN, ...names);
  }
  makeToken("second", "other-tokens");
  if (pkcs11js === undefined) return;
  vi.stubEnv("SOFTHSM2_CONF", join(directory, "tokens", "softhsm2.conf"));
  makeSigningKey(pkcs11js);
  vi.unstubAllEnvs();
});

beforeEach((context) => {
  requirePeer(context, "softhsm2 with opensc's pkcs11-tool", HAS_SOFTHSM);
  requirePeer(context, "pkcs11js, or what building it needs,", pkcs11js !== undefined);
  vi.stubEnv("OCICRYPT_CONFIG", "internal");
  vi.stubEnv("OCICRYPT_OAEP_HASHALG", "sha1");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

describe("ocicrypt in Go with SoftHSM", () => {
  beforeEach((context) => {
    requirePeer(context, "go", go !== undefined);
  });

  it.each([
    { what: "a key file", recipient: () => keyFile("object=rsa2048") },
    { what: "a key file without a PIN", recipient: () => keyFile("object=rsa2048", "unused=1") },
    { what: "the public key", recipient: () => publicKey("rsa2048") },
  ])("opens a layer that is encrypted here for $what", async ({ recipient }) => {
    const layer = await encrypt([await pkcs11.recipient(recipient(), { pkcs11js })]);
    expect(await goDecrypt(keyFile("object=rsa2048"), layer)).toEqual(PLAIN);
    await expect(goDecrypt(keyFile("id=%04"), layer)).rejects.toThrow("exit status 1");
  });

  it.each([
    { what: "a key file", recipient: () => keyFile("object=rsa2048") },
    { what: "the public key", recipient: () => publicKey("rsa2048") },
  ])("encrypts for $what, and the layer opens here", async ({ recipient }) => {
    const layer = await goEncrypt([recipient()]);
    expect(await decrypt(layer, [await key("object=rsa2048")])).toEqual(PLAIN);
    await expectCode(decrypt(layer, [await key("id=%04")]), "NO_MATCHING_KEY");
  });

  it("puts several recipients into one blob, which opens here for each", async () => {
    const layer = await goEncrypt([publicKey("rsa3072"), keyFile("id=%04"), publicKey("rsa2048")]);
    expect(layer.annotations["org.opencontainers.image.enc.keys.pkcs11"]).not.toContain(",");
    for (const path of ["object=rsa3072", "object=twin;id=%04", "object=rsa2048"]) {
      expect(await decrypt(layer, [await key(path)])).toEqual(PLAIN);
    }
    await expectCode(decrypt(layer, [await key("id=%03")]), "NO_MATCHING_KEY");
  });

  it("opens with each of several recipients that are added here", async () => {
    const recipients = [publicKey("rsa3072"), keyFile("object=rsa2048")].map((input) =>
      pkcs11.recipient(input, { pkcs11js }),
    );
    const layer = await encrypt(await Promise.all(recipients));
    for (const path of ["object=rsa3072", "object=rsa2048"]) {
      expect(await goDecrypt(keyFile(path), layer)).toEqual(PLAIN);
    }
  });

  it("encrypts with the token a layer that opens in software here", async () => {
    const layer = await goEncrypt([keyFile("object=imported-rsa2048")]);
    const software = await pkcs11.key(vectorFile("peers/layers/keys/rsa2048.pem"));
    expect(await decrypt(layer, [software])).toEqual(PLAIN);
  });

  it("encrypts with SHA-256 a layer that SoftHSM opens only here, with raw RSA", async () => {
    vi.stubEnv("OCICRYPT_OAEP_HASHALG", "sha256");
    const layer = await goEncrypt([publicKey("rsa3072")]);
    expect(await decrypt(layer, [await key("object=rsa3072")])).toEqual(PLAIN);
    await expect(goDecrypt(keyFile("object=rsa3072"), layer)).rejects.toThrow("exit status 1");
  });
});

describe("fixtures of Go and their private keys in SoftHSM", () => {
  it.each([
    { layer: "pkcs11-2048-sha1", object: "imported-rsa2048" },
    { layer: "pkcs11-3072-sha256", object: "imported-rsa3072" },
    { layer: "mixed-jwe-pkcs7-pkcs11", object: "imported-rsa3072" },
  ])("$layer opens with $object", async ({ layer, object }) => {
    const annotations = vectorFile(`peers/layers/${layer}.json`).toString();
    const encrypted = {
      cipher: vectorFile(`peers/layers/${layer}.enc`),
      annotations: JSON.parse(annotations) as Record<string, string>,
    };
    expect(await decrypt(encrypted, [await key(`object=${object}`)])).toEqual(PLAIN);
    await expectCode(decrypt(encrypted, [await key("object=rsa2048")]), "NO_MATCHING_KEY");
  });
});

describe("SoftHSM", () => {
  it.each([
    { hash: "sha1", object: "rsa2048" },
    { hash: "sha1", object: "rsa3072" },
    { hash: "sha256", object: "rsa3072" },
  ] as const)("wraps and unwraps with $object and $hash", async ({ hash, object }) => {
    const recipient = await pkcs11.recipient(keyFile(`object=${object}`), { pkcs11js, hash });
    const layer = await encrypt([recipient]);
    expect(await decrypt(layer, [await key(`object=${object}`)])).toEqual(PLAIN);
  });

  it("cannot wrap for RSA-2048 with SHA-256, and says what to do", async () => {
    const file = keyFile("object=rsa2048");
    const recipient = await pkcs11.recipient(file, { pkcs11js, hash: "sha256" });
    const error = await expectCode(encrypt([recipient]), "WRAP_FAILED");
    expect(error.message).toContain("OCICRYPT_OAEP_HASHALG=sha1");
  });

  it.each([
    { what: "label and id", path: () => "token=oci;object=rsa2048;id=%01" },
    { what: "id alone", path: () => "token=oci;id=%01" },
    { what: "an id with zeros", path: () => "token=oci;id=%FF%00", public: "Schlüssel; 1" },
    {
      what: "a label with escapes",
      path: () => "token=oci;object=Schl%C3%BCssel%3B%201",
      public: "Schlüssel; 1",
    },
    {
      what: "all that tells a token",
      path: () =>
        `model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=${serial};token=oci;id=%01;object=rsa2048;type=private`,
    },
    {
      what: "the slot",
      // SoftHSM's number of a slot is the end of the token's serial number.
      path: () => `slot-id=${String(parseInt(serial.slice(-8), 16) & 0x7fffffff)};id=%01`,
    },
  ])("finds a key by $what", async ({ path, public: object }) => {
    const recipient = await pkcs11.recipient(publicKey(object ?? "rsa2048"));
    const layer = await encrypt([recipient]);
    const file = keyFile("", undefined, path());
    const opened = await decrypt(layer, [await pkcs11.key(file, { pkcs11js })]);
    expect(opened).toEqual(PLAIN);
  });

  it("takes a PIN from a file with a line end", async () => {
    const pin = join(directory, "pin");
    writeFileSync(pin, `${PIN}\n`);
    for (const source of [pin, `file:${pin}`, `file://${pin}`]) {
      const layer = await encrypt([await pkcs11.recipient(publicKey("rsa2048"))]);
      const file = keyFile("object=rsa2048", `pin-source=${source}`);
      expect(await decrypt(layer, [await pkcs11.key(file, { pkcs11js })])).toEqual(PLAIN);
    }
  });

  it("opens many layers at once, with keys of two configurations", async () => {
    const layers = await Promise.all(
      Array.from({ length: 6 }, async () =>
        encrypt([await pkcs11.recipient(publicKey("rsa2048"))]),
      ),
    );
    const own = await key("object=rsa2048");
    const second = keyFile("object=any", undefined, "token=second;object=any", "other-tokens");
    const other = await pkcs11.key(second, { pkcs11js });
    const opened = await Promise.all(layers.map((layer) => decrypt(layer, [other, own])));
    for (const plain of opened) expect(plain).toEqual(PLAIN);
    // Its token is there, in its own configuration only.
    await expectCode(decrypt(layers[0]!, [other]), "OBJECT_NOT_FOUND");
  });

  it("shares a module with another part of the program, and leaves it logged in", async () => {
    const layer = await encrypt([await pkcs11.recipient(publicKey("rsa2048"))]);
    vi.stubEnv("SOFTHSM2_CONF", join(directory, "tokens", "softhsm2.conf"));
    const cryptoki = new pkcs11js!.PKCS11();
    cryptoki.load(SOFTHSM!);
    cryptoki.C_Initialize({ flags: 0 });
    try {
      const session = openSession(cryptoki, "oci");
      cryptoki.C_Login(session, CKU_USER, PIN);
      expect(await decrypt(layer, [await key("object=rsa2048")])).toEqual(PLAIN);
      expect(await decrypt(layer, [await key("object=rsa2048")])).toEqual(PLAIN);
      expect(() => {
        cryptoki.C_Login(session, CKU_USER, PIN);
      }).toThrow("CKR_USER_ALREADY_LOGGED_IN");
    } finally {
      cryptoki.C_Finalize();
    }
  });

  it("does not get a rejected PIN again, but gets the right PIN", async () => {
    const layer = await encrypt([await pkcs11.recipient(publicKey("rsa2048"))]);
    const file = keyFile("object=rsa2048", "pin-value=wr0ng-pin");
    for (const message of ["the token rejected the PIN", "does not try it again"]) {
      const wrong = await pkcs11.key(file, { pkcs11js });
      const error = await expectCode(decrypt(layer, [wrong]), "PIN_WRONG");
      expect(error.message).toContain(message);
      expect(wholeText(error)).not.toContain("wr0ng-pin");
    }
    expect(await decrypt(layer, [await key("object=rsa2048")])).toEqual(PLAIN);
  });

  it.each<{ what: string; code: ErrorCode; path?: string; query?: string; uri?: string }>([
    {
      what: "a token that is not there",
      code: "TOKEN_NOT_FOUND",
      uri: "token=none;object=rsa2048",
    },
    { what: "a slot that is not there", code: "TOKEN_NOT_FOUND", uri: "slot-id=77;object=rsa2048" },
    { what: "another serial", code: "TOKEN_NOT_FOUND", path: "serial=77;object=rsa2048" },
    { what: "an object that is not there", code: "OBJECT_NOT_FOUND", path: "object=none" },
    { what: "an id of another object", code: "OBJECT_NOT_FOUND", path: "object=rsa2048;id=%02" },
    { what: "two objects", code: "OBJECT_AMBIGUOUS", path: "object=twin" },
    { what: "an EC key", code: "KEY_UNSUPPORTED", path: "object=ec" },
    { what: "an AES key", code: "KEY_UNSUPPORTED", path: "object=aes" },
    { what: "a key for signatures", code: "KEY_USE_FORBIDDEN", path: "object=sign" },
    {
      what: "no PIN",
      code: "PIN_MISSING",
      path: "object=rsa2048",
      query: "unused=1",
    },
  ])("reports $what, in both directions where it matters", async (row) => {
    const { code, path = "", query, uri } = row;
    const layer = await encrypt([await pkcs11.recipient(publicKey("rsa2048"))]);
    const file = keyFile(path, query, uri);
    const error = await expectCode(decrypt(layer, [await pkcs11.key(file, { pkcs11js })]), code);
    expect(wholeText(error)).not.toContain(PIN);
    if (code === "PIN_MISSING") return;
    const recipient = await pkcs11.recipient(file, { pkcs11js });
    expect(wholeText(await expectCode(encrypt([recipient]), code))).not.toContain(PIN);
  });

  it("is not loaded where the configuration does not allow it", async () => {
    const layer = await encrypt([await pkcs11.recipient(publicKey("rsa2048"))]);
    const config = join(directory, "ocicrypt.conf");
    vi.stubEnv("OCICRYPT_CONFIG", config);
    const folder = join(SOFTHSM!, "..");
    const directories = `module-directories: [ ${folder} ]`;
    for (const [text, code] of [
      [`pkcs11:\n  ${directories}\n`, "MODULE_NOT_ALLOWED"],
      [`pkcs11:\n  ${directories}\n  allowed-module-paths: [ /usr/lib/ ]\n`, "MODULE_NOT_ALLOWED"],
      [`${directories}\nallowed-module-paths: [ ${folder}/ ]\n`, "PKCS11_CONFIG_INVALID"],
    ] as const) {
      writeFileSync(config, text);
      await expectCode(decrypt(layer, [await key("object=rsa2048")]), code);
    }
    const allowed = `allowed-module-paths: [ ${SOFTHSM!} ]`;
    writeFileSync(config, `pkcs11:\n  ${directories}\n  ${allowed}\n`);
    expect(await decrypt(layer, [await key("object=rsa2048")])).toEqual(PLAIN);
  });

  it("loads no file that is not a module", async () => {
    const layer = await encrypt([await pkcs11.recipient(publicKey("rsa2048"))]);
    const path = join(directory, "not-a-module.so");
    writeFileSync(path, "text");
    const config = { moduleDirectories: [], allowedModulePaths: [path] };
    const uri = `token=oci;object=k?module-path=${path}&pin-value=${PIN}`;
    const broken = await pkcs11.key(`pkcs11:\n uri: pkcs11:${uri}\n`, { pkcs11js, config });
    await expectCode(decrypt(layer, [broken]), "MODULE_NOT_FOUND");
  });
});

describe("NSS softoken, which has OAEP with SHA-256", () => {
  it("unwraps with OAEP in the token, with both hashes", async (context) => {
    requirePeer(context, "libsoftokn3.so", SOFTOKEN !== undefined);
    const module = softoken(join(directory, "nss"));
    makeSoftokenKey(module);
    const mechanisms: number[] = [];
    const watched = softoken(join(directory, "nss"), (mechanism) => mechanisms.push(mechanism));
    const options = {
      pkcs11js: watched,
      config: { moduleDirectories: [], allowedModulePaths: [SOFTOKEN!] },
    };
    const uri = `token=NSS%20Certificate%20DB;object=k?module-path=${SOFTOKEN!}&pin-value=${PIN}`;
    const file = `pkcs11:\n uri: pkcs11:${uri}\n`;
    for (const hash of ["sha1", "sha256"] as const) {
      const layer = await encrypt([await pkcs11.recipient(file, { ...options, hash })]);
      expect(await decrypt(layer, [await pkcs11.key(file, options)])).toEqual(PLAIN);
      const other = await encrypt([await pkcs11.recipient(publicKey("rsa3072"), { hash })]);
      await expectCode(decrypt(other, [await pkcs11.key(file, options)]), "NO_MATCHING_KEY");
      // Above every modulus of its length, as the ciphertext for another key may be.
      const blob = Buffer.alloc(384, 0xff).toString("base64");
      const recipients = [{ version: 0, blob, hash }];
      const above = Buffer.from(JSON.stringify({ version: 0, recipients }));
      const layerAbove = await encrypt([{ scheme: "pkcs11", wrap: () => Promise.resolve(above) }]);
      await expectCode(decrypt(layerAbove, [await pkcs11.key(file, options)]), "NO_MATCHING_KEY");
    }
    expect(new Set(mechanisms)).toEqual(new Set([9])); // CKM_RSA_PKCS_OAEP and never raw RSA
  });
});

interface Layer {
  cipher: Uint8Array;
  annotations: Record<string, string>;
}

async function encrypt(recipients: Recipient[]): Promise<Layer> {
  const encrypted = encryptLayer(PLAIN, { descriptor: LAYER, recipients });
  const cipher = await collect(encrypted.stream);
  return { cipher, annotations: (await encrypted.finalize()).annotations ?? {} };
}

async function decrypt({ cipher, annotations }: Layer, keys: Key[]): Promise<Buffer> {
  const descriptor = { mediaType: `${LAYER.mediaType}+encrypted`, annotations };
  return collect((await decryptLayer(cipher, { descriptor, keys })).stream);
}

async function key(path: string): Promise<Key> {
  return pkcs11.key(keyFile(path), { pkcs11js });
}

/** A key file for a key in the token `oci`, unless `uri` says otherwise. */
function keyFile(
  path: string,
  query = `pin-value=${PIN}`,
  uri = `token=oci;${path}`,
  tokens = "tokens",
): string {
  const env = `SOFTHSM2_CONF: ${join(directory, tokens, "softhsm2.conf")}`;
  return `pkcs11:\n  uri: pkcs11:${uri}?module-name=softhsm2&${query}\nmodule:\n  env:\n    ${env}\n`;
}

async function goEncrypt(recipients: string[]): Promise<Layer> {
  const args = recipients.flatMap((recipient, i) => {
    const file = join(directory, `recipient-${String(i)}`);
    writeFileSync(file, recipient);
    return ["-recipient", `pkcs11:${file}`];
  });
  const annotations = join(directory, "annotations.json");
  const cipher = await runGo(
    ["encrypt", ...args, "-digest", LAYER.digest, "-annotations", annotations],
    PLAIN,
  );
  return {
    cipher,
    annotations: JSON.parse(readFileSync(annotations, "utf8")) as Record<string, string>,
  };
}

async function goDecrypt(keyText: string, { cipher, annotations }: Layer): Promise<Buffer> {
  const file = join(directory, "key.yaml");
  writeFileSync(file, keyText);
  const annotationsFile = join(directory, "annotations.json");
  writeFileSync(annotationsFile, JSON.stringify(annotations));
  return runGo(["decrypt", "-key", file, "-annotations", annotationsFile], cipher);
}

async function runGo(args: string[], input: Uint8Array): Promise<Buffer> {
  const { status, stdout, stderr } = await run(go!, args, { input });
  if (status !== 0) throw new Error(`exit status ${String(status)}: ${stderr}`);
  return stdout;
}

/**
 * The package where it is installed, or else as it is built into a temporary directory, with
 * Node's headers from /usr/include where a distribution has put them.
 */
function installPkcs11js(): Pkcs11Js | undefined {
  const require = createRequire(join(directory, "package.json"));
  try {
    return createRequire(import.meta.url)("pkcs11js") as Pkcs11Js;
  } catch {
    // It is an optional package.
  }
  const headers = existsSync("/usr/include/node") ? { npm_config_nodedir: "/usr" } : {};
  try {
    const args = ["install", "--no-audit", "--no-fund", "--prefix", directory, "pkcs11js@2.1.7"];
    const env = { ...process.env, ...headers };
    execFileSync("npm", args, { env, stdio: "ignore", timeout: 200_000 });
    return require("pkcs11js") as Pkcs11Js;
  } catch {
    return undefined;
  }
}

function makeToken(label: string, tokens: string): void {
  const folder = join(directory, tokens);
  mkdirSync(join(folder, "data"), { recursive: true });
  const settings = `directories.tokendir = ${join(folder, "data")}\nobjectstore.backend = file\n`;
  writeFileSync(join(folder, "softhsm2.conf"), settings);
  softhsm(tokens, "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "so-pin");
}

function softhsm(tokens: string, ...args: string[]): string {
  const env = { ...process.env, SOFTHSM2_CONF: join(directory, tokens, "softhsm2.conf") };
  return execFileSync("softhsm2-util", args, { env, encoding: "utf8" });
}

/** OpenSC's tool, logged in to the token `oci`. */
function tool(...args: string[]): Buffer {
  const env = { ...process.env, SOFTHSM2_CONF: join(directory, "tokens", "softhsm2.conf") };
  const login = ["--module", SOFTHSM!, "--token-label", "oci", "--login", "--pin", PIN];
  return execFileSync("pkcs11-tool", [...login, ...args], {
    env,
    stdio: ["ignore", "pipe", "ignore"],
  });
}

/** A public key of the token, as OpenSC reads it and OpenSSL writes it. */
function publicKey(label: string): string {
  const der = tool("--read-object", "--type", "pubkey", "--label", label);
  const args = ["pkey", "-pubin", "-inform", "DER", "-outform", "PEM"];
  return execFileSync("openssl", args, { input: der, encoding: "utf8" });
}

/** softoken needs to be told its database in C_Initialize, which no key file can do. */
function softoken(database: string, watch?: (mechanism: number) => void): Pkcs11Js {
  mkdirSync(database, { recursive: true });
  // pkcs11js 2.1.7 cuts off the last character.
  const libraryParameters = `configdir='sql:${database}' certPrefix='' keyPrefix='' secmod='secmod.db' `;
  function create(): Cryptoki {
    const cryptoki = new pkcs11js!.PKCS11();
    const initialize = cryptoki.C_Initialize.bind(cryptoki);
    const decryptInit = cryptoki.C_DecryptInit.bind(cryptoki);
    cryptoki.C_Initialize = (options) => {
      initialize({ ...options, libraryParameters } as typeof options);
    };
    cryptoki.C_DecryptInit = (session, mechanism, object) => {
      watch?.(mechanism.mechanism);
      decryptInit(session, mechanism, object);
    };
    return cryptoki;
  }
  return { PKCS11: create as unknown as new () => Cryptoki };
}

interface KeyGenerator extends Cryptoki {
  C_InitPIN(session: Buffer, pin: string): void;
  C_GenerateKeyPair(...values: [Buffer, object, Attribute[], Attribute[]]): object;
}

/** Gives a new database its PIN, and makes a key in it. */
function makeSoftokenKey({ PKCS11 }: Pkcs11Js): void {
  const cryptoki = new PKCS11() as KeyGenerator;
  cryptoki.load(SOFTOKEN!);
  cryptoki.C_Initialize({ flags: 0 });
  const session = openSession(cryptoki, "NSS Certificate DB");
  cryptoki.C_Login(session, 0, ""); // CKU_SO
  cryptoki.C_InitPIN(session, PIN);
  cryptoki.C_Logout(session);
  cryptoki.C_Login(session, CKU_USER, PIN);
  generateKey(cryptoki, session, "k", true);
  cryptoki.C_Finalize();
}

/** Creates a key that OpenSC's tool cannot: its keys are for all uses. */
function makeSigningKey({ PKCS11 }: Pkcs11Js): void {
  const cryptoki = new PKCS11() as KeyGenerator;
  cryptoki.load(SOFTHSM!);
  cryptoki.C_Initialize({ flags: 0 });
  const session = openSession(cryptoki, "oci");
  cryptoki.C_Login(session, CKU_USER, PIN);
  generateKey(cryptoki, session, "sign", false);
  cryptoki.C_Finalize();
}

/** RSA-3072, as that holds the options of a layer with either hash. */
function generateKey(
  cryptoki: KeyGenerator,
  session: Buffer,
  label: string,
  forEncryption: boolean,
): void {
  const flag = (type: number, value: boolean): Attribute => ({
    type,
    value: Buffer.from([value ? 1 : 0]),
  });
  const names = [flag(1, true), { type: CKA_LABEL, value: Buffer.from(label) }]; // 1: CKA_TOKEN
  const size = { type: 0x121, value: 3072 }; // CKA_MODULUS_BITS
  const exponent = { type: CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) };
  const publicHalf = [...names, size, exponent, flag(CKA_ENCRYPT, forEncryption)];
  const privateHalf = [...names, flag(2, true), flag(0x105, forEncryption)]; // private, decrypt
  cryptoki.C_GenerateKeyPair(session, { mechanism: 0 }, publicHalf, privateHalf);
}

function openSession(cryptoki: Cryptoki, label: string): Buffer {
  const slot = cryptoki
    .C_GetSlotList(true)
    .find((id) => cryptoki.C_GetTokenInfo(id).label.trim() === label);
  return cryptoki.C_OpenSession(slot!, CKF_SERIAL_SESSION | 2); // CKF_RW_SESSION
}
