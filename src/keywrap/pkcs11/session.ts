import { endianness } from "node:os";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { OcicryptError, shown, cannotRead } from "../../errors.js";
import {
  call,
  CKF_OS_LOCKING_OK,
  CKF_SERIAL_SESSION,
  CKU_USER,
  type Cryptoki,
  returnCode,
  tokenFailed,
  type TokenInfo,
} from "./module.js";
import type { KeyFile } from "./key-file.js";
import type { Pkcs11Uri, TokenAttribute } from "./uri.js";

/** An open session with the token of a key file. */
export interface Session {
  cryptoki: Cryptoki;
  handle: Buffer;
}

interface Slot {
  handle: Buffer;
  info: TokenInfo;
}

/**
 * Opens a session while `use` runs, logged in if there is a PIN. Everything is synchronous, like most
 * of PKCS#11: uses of a module never overlap, and no other code sees the environment of the key
 * file.
 *
 * @throws {@link OcicryptError} `TOKEN_NOT_FOUND`, `OBJECT_AMBIGUOUS`, `PIN_WRONG`, `TOKEN_FAILED`
 */
export function withSession<T>(
  cryptoki: Cryptoki,
  keyFile: KeyFile,
  pin: string | undefined,
  use: (session: Session) => T,
): T {
  return withEnvironment(keyFile.env, () =>
    whileInitialized(cryptoki, () => {
      const slot = findSlot(cryptoki, keyFile.uri);
      const handle = call("C_OpenSession", () =>
        cryptoki.C_OpenSession(slot.handle, CKF_SERIAL_SESSION),
      );
      let loggedIn = false;
      try {
        if (pin !== undefined) loggedIn = login(cryptoki, handle, slot.info, pin);
        return use({ cryptoki, handle });
      } finally {
        if (loggedIn)
          quietly(() => {
            cryptoki.C_Logout(handle);
          });
        quietly(() => {
          cryptoki.C_CloseSession(handle);
        });
      }
    }),
  );
}

/** Node.js passes changes of `process.env` to native code, except those of worker threads. */
function withEnvironment<T>(env: ReadonlyMap<string, string>, run: () => T): T {
  const before = [...env.keys()].map((name) => [name, process.env[name]] as const);
  for (const [name, value] of env) process.env[name] = value;
  try {
    return run();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
  }
}

/** Restores the state of a module: another part of the program may be using it. */
function whileInitialized<T>(cryptoki: Cryptoki, run: () => T): T {
  let initialized = true;
  try {
    cryptoki.C_Initialize({ flags: CKF_OS_LOCKING_OK });
  } catch (error) {
    if (returnCode(error) !== "CKR_CRYPTOKI_ALREADY_INITIALIZED") {
      throw tokenFailed("C_Initialize", error);
    }
    initialized = false;
  }
  try {
    return run();
  } finally {
    if (initialized)
      quietly(() => {
        cryptoki.C_Finalize();
      });
  }
}

/**
 * Finds the one token that matches. Go logs in to one token after another; here no token receives a
 * PIN that may belong to another.
 */
function findSlot(cryptoki: Cryptoki, uri: Pkcs11Uri): Slot {
  const slots = call("C_GetSlotList", () => cryptoki.C_GetSlotList(true))
    .filter((handle) => uri.slotId === undefined || readUlong(handle) === uri.slotId)
    .flatMap((handle) => {
      const info = tokenInfo(cryptoki, handle);
      return info !== undefined && isToken(info, uri) ? [{ handle, info }] : [];
    });
  const [slot, ...others] = slots;
  if (slot === undefined) {
    throw new OcicryptError("TOKEN_NOT_FOUND", `no token matches ${describeToken(uri)}`);
  }
  if (others.length > 0) {
    const message = `several tokens match ${describeToken(uri)}; add serial or slot-id to the URI`;
    throw new OcicryptError("OBJECT_AMBIGUOUS", message);
  }
  return slot;
}

/** Skips slots whose content the module does not accept as a token. */
function tokenInfo(cryptoki: Cryptoki, slot: Buffer): TokenInfo | undefined {
  try {
    return cryptoki.C_GetTokenInfo(slot);
  } catch {
    return undefined;
  }
}

function isToken(info: TokenInfo, { token }: Pkcs11Uri): boolean {
  const actual: Readonly<Record<TokenAttribute, string>> = {
    token: info.label,
    manufacturer: info.manufacturerID,
    serial: info.serialNumber,
    model: info.model,
  };
  return [...token].every(([name, value]) => actual[name].replace(/[ \0]+$/, "") === value);
}

/** Describes the token of a URI, for messages. */
export function describeToken({ token, slotId }: Pkcs11Uri): string {
  const parts = [...token].map(([name, value]) => `${name} ${shown(value)}`);
  if (slotId !== undefined) parts.push(`slot-id ${String(slotId)}`);
  return parts.join(", ");
}

/** Decodes a CK_ULONG in the size and byte order of the machine. */
export function readUlong(bytes: Buffer): number {
  const bigEndian = endianness() === "BE" ? bytes : Buffer.from(bytes).reverse();
  return Number(`0x${bigEndian.toString("hex")}`);
}

/** A failure during clean-up must not hide an earlier one. */
function quietly(run: () => void): void {
  try {
    run();
  } catch {
    // The session or the token has already gone.
  }
}

const WRONG: readonly (string | undefined)[] = [
  "CKR_PIN_INCORRECT",
  "CKR_PIN_INVALID",
  "CKR_PIN_LEN_RANGE",
];

/**
 * Digests of the PINs that tokens have rejected in this process. A few wrong PINs lock a token, and
 * an image has many layers, so no PIN is tried twice.
 */
const refused = new Set<string>();

/**
 * Logs in unless this process is already logged in to the token.
 *
 * @returns whether this call logged in, so that its caller must log out
 * @throws {@link OcicryptError} `PIN_WRONG`, `TOKEN_FAILED`
 */
function login(cryptoki: Cryptoki, session: Buffer, token: TokenInfo, pin: string): boolean {
  const attempt = digestOf(token, pin);
  if (refused.has(attempt)) {
    throw wrong("the token has already rejected this PIN; this process does not try it again");
  }
  try {
    cryptoki.C_Login(session, CKU_USER, pin);
    return true;
  } catch (error) {
    const code = returnCode(error);
    // PKCS#11 2.40 section 5.6: all sessions of an application with a token are logged in at once.
    if (code === "CKR_USER_ALREADY_LOGGED_IN") return false;
    if (code === "CKR_PIN_LOCKED") throw wrong("the token is locked after too many wrong PINs");
    if (!WRONG.includes(code)) throw tokenFailed("C_Login", error);
    refused.add(attempt);
    throw wrong("the token rejected the PIN");
  }
}

function digestOf({ label, manufacturerID, model, serialNumber }: TokenInfo, pin: string): string {
  const attempt = JSON.stringify([label, manufacturerID, model, serialNumber, pin]);
  return createHash("sha256").update(attempt).digest("base64");
}

function wrong(message: string): OcicryptError {
  return new OcicryptError("PIN_WRONG", message);
}

/** Longer than the PIN of any token. */
const MAX_SIZE = 4096;

/**
 * Reads the PIN from a URI or from the file that the URI names; `undefined` if it has neither. Unlike
 * Go, this ignores the line break at the end of the file.
 *
 * @throws {@link OcicryptError} `PIN_MISSING` when the file cannot be read
 */
export async function readPin({ pinValue, pinSource }: Pkcs11Uri): Promise<string | undefined> {
  const pin = pinSource === undefined ? pinValue : await readPinFile(pinSource);
  return pin === "" ? undefined : pin;
}

async function readPinFile(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    // The path is not shown: anyone who mistakes pin-source for pin-value writes the PIN there.
    throw new OcicryptError("PIN_MISSING", cannotRead("the file named by pin-source", error));
  }
  try {
    if (bytes.byteLength > MAX_SIZE) throw new RangeError();
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new OcicryptError("PIN_MISSING", "the file named by pin-source does not contain a PIN");
  } finally {
    bytes.fill(0);
  }
}
