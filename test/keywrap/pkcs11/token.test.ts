import {
  constants,
  createPrivateKey,
  privateDecrypt,
  publicEncrypt,
  type KeyObject,
} from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { endianness, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ErrorCode } from "../../../src/errors.js";
import {
  type Attribute,
  type Cryptoki,
  importPkcs11js,
  type Mechanism,
} from "../../../src/keywrap/pkcs11/module.js";
import { pkcs11, type Pkcs11Js } from "../../../src/keywrap/pkcs11/index.js";
import { expectCode } from "../../support/codes.js";
import { vectorFile } from "../../support/vectors.js";
import { wholeText } from "./whole-text.js";

// Faults that SoftHSM does not show; what it does show is tested with it, in test/interop.

const PIN = "s3cret-4711";
const SECRET = Buffer.from("This is some secret text");

let directory = "";
let privateKey: KeyObject;
let jwk: { n: string; e: string };
let serial = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ocicrypt-"));
  await writeFile(join(directory, "libfake.so"), "");
  privateKey = createPrivateKey(vectorFile("keys/rsa-2048.pem").toString());
  jwk = privateKey.export({ format: "jwk" }) as typeof jwk;
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** A CK_RV as pkcs11js throws it. */
function rv(name: string): Error {
  return Object.assign(new Error(name), { name: "Pkcs11Error", code: 1 });
}

function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  if (endianness() === "BE") bytes.writeUInt32BE(value, 4);
  else bytes.writeUInt32LE(value);
  return bytes;
}

interface Fake {
  pkcs11js: Pkcs11Js;
  /** The functions called, in order. */
  calls: string[];
  serial: string;
}

interface Faults {
  /** CK_RVs by function; of a list the first call gets the first. */
  fail?: Record<string, string | (string | undefined)[]>;
  /** Labels of the tokens in the slots; by default one token. */
  labels?: string[];
  /** How often each object of a class is there; by default once for the two halves of the key. */
  objects?: Record<number, number>;
  keyType?: number;
  encrypt?: number;
  watch?: (name: string) => void;
}

/** A module with one RSA key in each token, that does as SoftHSM unless told to fail. */
function fakeModule({ fail = {}, labels = ["oci"], objects = {}, ...faults }: Faults = {}): Fake {
  const own = `serial-${String(serial++)}`;
  const calls: string[] = [];
  const failures = new Map(
    Object.entries(fail).map(([name, codes]) => [
      name,
      typeof codes === "string" ? codes : [...codes],
    ]),
  );
  function enter(name: string): void {
    calls.push(name);
    faults.watch?.(name);
    const codes = failures.get(name);
    const code = typeof codes === "string" ? codes : codes?.shift();
    if (code !== undefined) throw rv(code);
  }
  let found: Buffer[] = [];
  let mechanism: Mechanism | undefined;
  const attributes = new Map<number, Buffer>([
    [0x100, ulong(faults.keyType ?? 0)],
    [0x104, Buffer.from([faults.encrypt ?? 1])],
    [0x120, Buffer.concat([Buffer.alloc(1), Buffer.from(jwk.n, "base64url")])],
    [0x122, Buffer.from(jwk.e, "base64url")],
  ]);
  const fake: Cryptoki = {
    load: () => {
      enter("load");
    },
    C_Initialize: () => {
      enter("C_Initialize");
    },
    C_Finalize: () => {
      enter("C_Finalize");
    },
    C_GetSlotList: () => {
      enter("C_GetSlotList");
      return labels.map((_, i) => ulong(i + 5));
    },
    C_GetTokenInfo: (slot) => {
      enter("C_GetTokenInfo");
      const i = [5, 6, 7].findIndex((id) => slot.equals(ulong(id)));
      return {
        label: labels[i]!.padEnd(32),
        manufacturerID: "maker\0\0\0",
        model: "fake            ",
        serialNumber: `${own}-${String(i)}`.padEnd(16),
      };
    },
    C_OpenSession: () => {
      enter("C_OpenSession");
      return ulong(9);
    },
    C_CloseSession: () => {
      enter("C_CloseSession");
    },
    C_Login: (_session, _user, pin) => {
      enter("C_Login");
      if (pin !== PIN) throw rv("CKR_PIN_INCORRECT");
    },
    C_Logout: () => {
      enter("C_Logout");
    },
    C_FindObjectsInit: (_session, template: Attribute[]) => {
      enter("C_FindObjectsInit");
      const keyClass = template.find(({ type }) => type === 0)!.value as number;
      const count = objects[keyClass] ?? (keyClass === 4 ? 0 : 1);
      found = Array.from({ length: count }, (_, i) => ulong(i + 1));
    },
    // One at a time, which a module may do.
    C_FindObjects: () => {
      enter("C_FindObjects");
      return found.splice(0, 1);
    },
    C_FindObjectsFinal: () => {
      enter("C_FindObjectsFinal");
    },
    C_GetAttributeValue: (_session, _object, template) => {
      enter("C_GetAttributeValue");
      return template.map(({ type }) => ({ type, value: attributes.get(type)! }));
    },
    C_DecryptInit: (_session, given) => {
      enter("C_DecryptInit");
      mechanism = given;
    },
    C_Decrypt: (_session, encrypted, plaintext) => {
      enter("C_Decrypt");
      const raw = mechanism?.mechanism === 3;
      const oaepHash = mechanism?.parameter?.hashAlg === 0x220 ? "sha1" : "sha256";
      const padding = raw ? constants.RSA_NO_PADDING : constants.RSA_PKCS1_OAEP_PADDING;
      const decrypted = privateDecrypt({ key: privateKey, oaepHash, padding }, encrypted);
      decrypted.copy(plaintext);
      return plaintext.subarray(0, decrypted.byteLength);
    },
  };
  const pkcs11js = {
    PKCS11: function PKCS11() {
      return fake;
    } as unknown as new () => Cryptoki,
  };
  return { pkcs11js, calls, serial: own };
}

function keyFile(
  query = `?module-name=fake&pin-value=${PIN}`,
  path = "token=oci;object=k",
): string {
  return `pkcs11:\n uri: pkcs11:${path}${query}\nmodule:\n  env:\n    FAKE_CONF: /there\n`;
}

function options({ pkcs11js }: Fake) {
  return {
    pkcs11js,
    config: { moduleDirectories: [directory], allowedModulePaths: [`${directory}/`] },
  };
}

function wrappedFor(hash: "sha1" | "sha256", plaintext = SECRET): Buffer {
  const blob = publicEncrypt({ key: privateKey, oaepHash: hash }, plaintext).toString("base64");
  return Buffer.from(JSON.stringify({ version: 0, recipients: [{ version: 0, blob, hash }] }));
}

async function unwrap(fake: Fake, file = keyFile(), wrapped = wrappedFor("sha1")) {
  const key = await pkcs11.key(file, options(fake));
  return key.unwrap(wrapped);
}

describe("a key in a token", () => {
  it("is used within one session, which is closed", async () => {
    const fake = fakeModule();
    expect(await unwrap(fake)).toEqual(SECRET);
    expect(fake.calls).toEqual([
      "load",
      "C_Initialize",
      "C_GetSlotList",
      "C_GetTokenInfo",
      "C_OpenSession",
      "C_Login",
      "C_FindObjectsInit",
      "C_FindObjects",
      "C_FindObjects",
      "C_FindObjectsFinal",
      "C_GetAttributeValue",
      "C_DecryptInit",
      "C_Decrypt",
      "C_Logout",
      "C_CloseSession",
      "C_Finalize",
    ]);
  });

  it("loads a module once", async () => {
    const fake = fakeModule();
    const key = await pkcs11.key(keyFile(), options(fake));
    await key.unwrap(wrappedFor("sha1"));
    await key.unwrap(wrappedFor("sha256"));
    expect(fake.calls.filter((name) => name === "load")).toHaveLength(1);
    expect(fake.calls.filter((name) => name === "C_Finalize")).toHaveLength(2);
  });

  it("does not change a module that another part of the program uses", async () => {
    const fake = fakeModule({
      fail: {
        C_Initialize: "CKR_CRYPTOKI_ALREADY_INITIALIZED",
        C_Login: "CKR_USER_ALREADY_LOGGED_IN",
      },
    });
    expect(await unwrap(fake)).toEqual(SECRET);
    expect(fake.calls).not.toContain("C_Logout");
    expect(fake.calls).not.toContain("C_Finalize");
    expect(fake.calls.at(-1)).toBe("C_CloseSession");
  });

  it("returns the decrypted bytes even if cleaning up fails", async () => {
    const gone = "CKR_SESSION_HANDLE_INVALID";
    const fail = { C_Logout: gone, C_CloseSession: gone, C_Finalize: "CKR_GENERAL_ERROR" };
    expect(await unwrap(fakeModule({ fail }))).toEqual(SECRET);
  });

  it.each(["CKR_MECHANISM_INVALID", "CKR_MECHANISM_PARAM_INVALID", "CKR_ARGUMENTS_BAD"])(
    "is used with raw RSA if OAEP returns %s",
    async (code) => {
      for (const hash of ["sha1", "sha256"] as const) {
        const fake = fakeModule({ fail: { C_DecryptInit: [code] } });
        const secret = await unwrap(fake, keyFile(), wrappedFor(hash));
        expect(Buffer.from(secret!)).toEqual(SECRET);
        expect(fake.calls.filter((name) => name === "C_DecryptInit")).toHaveLength(2);
      }
    },
  );

  it.each([
    "CKR_ENCRYPTED_DATA_INVALID",
    "CKR_ENCRYPTED_DATA_LEN_RANGE",
    "CKR_DATA_INVALID",
    "CKR_DATA_LEN_RANGE",
    "CKR_FUNCTION_FAILED",
    "CKR_GENERAL_ERROR",
  ])("returns null if decryption returns %s", async (code) => {
    expect(await unwrap(fakeModule({ fail: { C_Decrypt: code } }))).toBeNull();
  });

  it("returns null if raw RSA cannot decrypt", async () => {
    const fail = { C_DecryptInit: ["CKR_MECHANISM_INVALID"], C_Decrypt: "CKR_GENERAL_ERROR" };
    expect(await unwrap(fakeModule({ fail }))).toBeNull();
  });

  it("returns null if raw RSA decrypts but OAEP fails", async () => {
    const fake = fakeModule({ fail: { C_DecryptInit: ["CKR_MECHANISM_INVALID"] } });
    const wrong = Buffer.from(wrappedFor("sha1").toString().replace('"sha1"', '"sha256"'));
    expect(await unwrap(fake, keyFile(), wrong)).toBeNull();
  });

  it.each<{ what: string; faults: Faults; code: ErrorCode; path?: string; query?: string }>([
    {
      what: "a module that cannot be initialized",
      faults: { fail: { C_Initialize: "CKR_GENERAL_ERROR" } },
      code: "TOKEN_FAILED",
    },
    {
      what: "no list of slots",
      faults: { fail: { C_GetSlotList: "CKR_FUNCTION_FAILED" } },
      code: "TOKEN_FAILED",
    },
    { what: "no token in any slot", faults: { labels: [] }, code: "TOKEN_NOT_FOUND" },
    { what: "another token", faults: { labels: ["oci2", "OCI"] }, code: "TOKEN_NOT_FOUND" },
    {
      what: "a token that does not tell its label",
      faults: { fail: { C_GetTokenInfo: "CKR_TOKEN_NOT_RECOGNIZED" } },
      code: "TOKEN_NOT_FOUND",
    },
    {
      what: "another serial number",
      faults: {},
      path: "token=oci;serial=0;object=k",
      code: "TOKEN_NOT_FOUND",
    },
    {
      what: "another slot",
      faults: {},
      path: "token=oci;slot-id=4;object=k",
      code: "TOKEN_NOT_FOUND",
    },
    {
      what: "two tokens of that label",
      faults: { labels: ["oci", "oci"] },
      code: "OBJECT_AMBIGUOUS",
    },
    {
      what: "a token that is gone",
      faults: { fail: { C_OpenSession: "CKR_DEVICE_REMOVED" } },
      code: "TOKEN_FAILED",
    },
    {
      what: "a login that the token is not ready for",
      faults: { fail: { C_Login: "CKR_USER_PIN_NOT_INITIALIZED" } },
      code: "TOKEN_FAILED",
    },
    { what: "a locked PIN", faults: { fail: { C_Login: "CKR_PIN_LOCKED" } }, code: "PIN_WRONG" },
    {
      what: "a PIN of a wrong length",
      faults: { fail: { C_Login: "CKR_PIN_LEN_RANGE" } },
      code: "PIN_WRONG",
    },
    { what: "no such object", faults: { objects: { 3: 0 } }, code: "OBJECT_NOT_FOUND" },
    { what: "two such objects", faults: { objects: { 3: 2 } }, code: "OBJECT_AMBIGUOUS" },
    { what: "an AES key", faults: { objects: { 3: 0, 4: 1 } }, code: "KEY_UNSUPPORTED" },
    { what: "an EC key", faults: { keyType: 3 }, code: "KEY_UNSUPPORTED" },
    {
      what: "a failing search",
      faults: { fail: { C_FindObjects: "CKR_DEVICE_ERROR" } },
      code: "TOKEN_FAILED",
    },
    {
      what: "a key that is not for decryption",
      faults: { fail: { C_DecryptInit: "CKR_KEY_FUNCTION_NOT_PERMITTED" } },
      code: "KEY_USE_FORBIDDEN",
    },
    {
      what: "a token without any mechanism for it",
      faults: { fail: { C_DecryptInit: "CKR_MECHANISM_INVALID" } },
      code: "KEY_UNSUPPORTED",
    },
    {
      what: "decryption that is not possible now",
      faults: { fail: { C_DecryptInit: "CKR_DEVICE_MEMORY" } },
      code: "TOKEN_FAILED",
    },
    {
      what: "a token that is pulled out while it decrypts",
      faults: { fail: { C_Decrypt: "CKR_DEVICE_REMOVED" } },
      code: "TOKEN_FAILED",
    },
    {
      what: "a file that is no module",
      faults: { fail: { load: "undefined symbol: C_GetFunctionList" } },
      code: "MODULE_NOT_FOUND",
    },
    { what: "no PIN", faults: {}, query: "?module-name=fake", code: "PIN_MISSING" },
    {
      what: "an empty PIN",
      faults: {},
      query: "?module-name=fake&pin-value=",
      code: "PIN_MISSING",
    },
    {
      what: "no module of that name",
      faults: {},
      query: `?module-name=other&pin-value=${PIN}`,
      code: "MODULE_NOT_FOUND",
    },
    {
      what: "a module outside of what is allowed",
      faults: {},
      query: `?module-path=/bin/sh&pin-value=${PIN}`,
      code: "MODULE_NOT_ALLOWED",
    },
  ])("reports $what, closes its session and never shows the PIN", async (row) => {
    const { faults, code, path, query } = row;
    const fake = fakeModule(faults);
    const error = await expectCode(() => unwrap(fake, keyFile(query, path)), code);
    expect(wholeText(error)).not.toContain(PIN);
    const opened = (name: string): number => fake.calls.filter((call) => call === name).length;
    if (faults.fail?.C_OpenSession === undefined) {
      expect(opened("C_CloseSession")).toBe(opened("C_OpenSession"));
    }
    if (faults.fail?.C_Initialize === undefined) {
      expect(opened("C_Finalize")).toBe(opened("C_Initialize"));
    }
    expect(process.env.FAKE_CONF).toBeUndefined();
  });

  it.each([
    { path: "token=oci;serial=SERIAL-0;model=fake;manufacturer=maker;object=k" },
    { path: "slot-id=5;object=k" },
    { path: "slot-id=5;token=oci;id=%01" },
  ])("matches the padded names of a token: $path", async ({ path }) => {
    const fake = fakeModule({ labels: ["oci", "other"] });
    const file = keyFile(undefined, path.replace("SERIAL", fake.serial));
    expect(await unwrap(fake, file)).toEqual(SECRET);
  });

  it("tries a rejected PIN only once for all layers, keys and modules of this token", async () => {
    const fake = fakeModule();
    const logins = (): number => fake.calls.filter((name) => name === "C_Login").length;
    const wrong = keyFile("?module-name=fake&pin-value=wr0ng-pin");
    const key = await pkcs11.key(wrong, options(fake));
    const results = await Promise.allSettled([
      key.unwrap(wrappedFor("sha1")),
      key.unwrap(wrappedFor("sha1")),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    const error = await expectCode(() => unwrap(fake, wrong), "PIN_WRONG");
    expect(wholeText(error)).not.toContain("wr0ng-pin");
    expect(logins()).toBe(1);

    expect(await unwrap(fake)).toEqual(SECRET); // the right one is not held back
    expect(logins()).toBe(2);
    await expectCode(() => unwrap(fakeModule(), wrong), "PIN_WRONG"); // another token
  });

  it("sets the environment of its file only for the module", async () => {
    vi.stubEnv("FAKE_CONF", "/before");
    const seen = new Map<string, string | undefined>();
    const fake = fakeModule({ watch: (name) => seen.set(name, process.env.FAKE_CONF) });
    expect(await unwrap(fake)).toEqual(SECRET);
    expect(seen.get("C_Initialize")).toBe("/there");
    expect(seen.get("C_Decrypt")).toBe("/there");
    expect(seen.get("C_Finalize")).toBe("/there");
    expect(process.env.FAKE_CONF).toBe("/before");
    vi.unstubAllEnvs();
  });

  it("stops before it uses the token when it is aborted", async () => {
    const fake = fakeModule();
    const key = await pkcs11.key(keyFile(), options(fake));
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(key.unwrap(wrappedFor("sha1"), { signal })).rejects.toThrow("enough");
    expect(fake.calls).not.toContain("C_Initialize");
  });

  it("explains with the size and the algorithm only", async () => {
    const key = await pkcs11.key(keyFile(), { ...options(fakeModule()), label: "hsm" });
    expect(key.label).toBe("hsm");
    expect(key.explain?.(wrappedFor("sha256"))).toBe(
      "RSA-OAEP-256: for another RSA-2048 key than the token's, or damaged",
    );
  });
});

describe("a recipient in a token", () => {
  async function wrap(fake: Fake, file = keyFile(), size = 193) {
    const recipient = await pkcs11.recipient(file, { ...options(fake), hash: "sha1" });
    const wrapped = await recipient.wrap(Buffer.alloc(size, 1));
    await recipient.wrap(Buffer.alloc(size, 1));
    return wrapped;
  }

  it("reads the public key once and encrypts here", async () => {
    const fake = fakeModule();
    const key = await pkcs11.key(vectorFile("keys/rsa-2048.pem").toString());
    expect(await key.unwrap(await wrap(fake))).toEqual(Buffer.alloc(193, 1));
    expect(fake.calls.filter((name) => name === "C_OpenSession")).toHaveLength(1);
  });

  it("needs no PIN, and uses it if there is one", async () => {
    const without = fakeModule();
    await wrap(without, keyFile("?module-name=fake&unused=1234"));
    expect(without.calls).not.toContain("C_Login");
    const withPin = fakeModule();
    await wrap(withPin);
    expect(withPin.calls).toContain("C_Login");
  });

  it.each<{ what: string; faults: Faults; code: ErrorCode; size?: number }>([
    { what: "no such object", faults: { objects: { 2: 0 } }, code: "OBJECT_NOT_FOUND" },
    { what: "two of them", faults: { objects: { 2: 2 } }, code: "OBJECT_AMBIGUOUS" },
    { what: "an AES key", faults: { objects: { 2: 0, 4: 1 } }, code: "KEY_UNSUPPORTED" },
    { what: "an EC key", faults: { keyType: 3 }, code: "KEY_UNSUPPORTED" },
    { what: "a key for signatures", faults: { encrypt: 0 }, code: "KEY_USE_FORBIDDEN" },
    { what: "options too long for the key", faults: {}, size: 215, code: "WRAP_FAILED" },
    {
      what: "an attribute that the token withholds",
      faults: { fail: { C_GetAttributeValue: "CKR_ATTRIBUTE_SENSITIVE" } },
      code: "TOKEN_FAILED",
    },
  ])("reports $what", async ({ faults, code, size }) => {
    const error = await expectCode(() => wrap(fakeModule(faults), keyFile(), size), code);
    expect(wholeText(error)).not.toContain(PIN);
  });
});

describe("importPkcs11js", () => {
  it("says how to install a missing package", async () => {
    const load = () => import(/* @vite-ignore */ ["pkcs11js", "that-is-nowhere"].join("-"));
    const error = await expectCode(() => importPkcs11js(load), "PACKAGE_MISSING");
    expect(error.message).toContain("npm install pkcs11js");
  });

  it("says what to do if its native part was not built", async () => {
    const message = "Cannot find module './build/Release/pkcs11.node'";
    const cause = Object.assign(new Error(message), { code: "MODULE_NOT_FOUND" });
    const error = await expectCode(
      () => importPkcs11js(() => Promise.reject(cause)),
      "PACKAGE_MISSING",
    );
    expect(error.message).toContain("npm rebuild pkcs11js");
    expect(error.cause).toBe(cause);
  });
});
