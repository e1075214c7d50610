import { OcicryptError, errno } from "../../errors.js";
import { findModule, loadConfig, type Pkcs11Config } from "./config.js";
import type { Pkcs11Uri } from "./uri.js";

/** Options for access to a key in a token. */
export interface TokenOptions {
  /** The modules that may be loaded; by default those of `OCICRYPT_CONFIG` or `ocicrypt.conf`. */
  config?: Pkcs11Config | undefined;
  /** The package `pkcs11js`, for programs in which this module cannot import it by name. */
  pkcs11js?: Pkcs11Js | undefined;
}

/** A constant, because the compiler resolves the types of a literal in `import()`. */
const PACKAGE = "pkcs11js";

/** Each module is loaded once and kept: some crash when they are unloaded. */
const loaded = new WeakMap<Pkcs11Js, Map<string, Cryptoki>>();

/**
 * Loads the module of a URI.
 *
 * @throws {@link OcicryptError} `PKCS11_CONFIG_MISSING`, `PKCS11_CONFIG_INVALID`,
 *   `MODULE_NOT_FOUND`, `MODULE_NOT_ALLOWED`, `PACKAGE_MISSING`
 */
export async function loadModule(uri: Pkcs11Uri, options: TokenOptions): Promise<Cryptoki> {
  const path = await findModule(uri, options.config ?? (await loadConfig()));
  const pkcs11js = options.pkcs11js ?? (await importPkcs11js());
  let modules = loaded.get(pkcs11js);
  if (modules === undefined) loaded.set(pkcs11js, (modules = new Map<string, Cryptoki>()));
  let cryptoki = modules.get(path);
  if (cryptoki === undefined) modules.set(path, (cryptoki = loadFile(path, pkcs11js)));
  return cryptoki;
}

/** @throws {@link OcicryptError} `PACKAGE_MISSING` */
export async function importPkcs11js(
  load: () => Promise<unknown> = () => import(PACKAGE),
): Promise<Pkcs11Js> {
  try {
    return ((await load()) as { default: Pkcs11Js }).default;
  } catch (cause) {
    const isAbsent = errno(cause) === "ERR_MODULE_NOT_FOUND";
    const message = isAbsent
      ? "a key in a PKCS#11 token needs the package pkcs11js: npm install pkcs11js"
      : "the package pkcs11js cannot be loaded; its native part may not have been built: " +
        "npm rebuild pkcs11js, or remove it and npm install pkcs11js";
    throw new OcicryptError("PACKAGE_MISSING", message, { cause });
  }
}

function loadFile(path: string, { PKCS11 }: Pkcs11Js): Cryptoki {
  const cryptoki = new PKCS11();
  try {
    cryptoki.load(path);
    return cryptoki;
  } catch (cause) {
    const message = `the file ${path} cannot be loaded as a PKCS#11 module`;
    throw new OcicryptError("MODULE_NOT_FOUND", message, { cause });
  }
}

/** The part of the default export of `pkcs11js` that is used. */
export interface Pkcs11Js {
  PKCS11: new () => Cryptoki;
}

/** A PKCS#11 module with functions of PKCS#11 2.40 section 5. Handles are CK_ULONG. */
export interface Cryptoki {
  load(path: string): void;
  C_Initialize(options: { flags: number }): void;
  C_Finalize(): void;
  C_GetSlotList(tokenPresent: boolean): Buffer[];
  C_GetTokenInfo(slot: Buffer): TokenInfo;
  C_OpenSession(slot: Buffer, flags: number): Buffer;
  C_CloseSession(session: Buffer): void;
  C_Login(session: Buffer, userType: number, pin: string): void;
  C_Logout(session: Buffer): void;
  C_FindObjectsInit(session: Buffer, template: Attribute[]): void;
  C_FindObjects(session: Buffer, maxObjectCount: number): Buffer[];
  C_FindObjectsFinal(session: Buffer): void;
  C_GetAttributeValue(session: Buffer, object: Buffer, template: Attribute[]): Attribute[];
  C_DecryptInit(session: Buffer, mechanism: Mechanism, key: Buffer): void;
  C_Decrypt(session: Buffer, encrypted: Buffer, plaintext: Buffer): Buffer;
}

/** Strings of a fixed length, padded at the end. */
export interface TokenInfo {
  label: string;
  manufacturerID: string;
  model: string;
  serialNumber: string;
}

export interface Attribute {
  type: number;
  value?: number | Buffer;
}

export interface Mechanism {
  mechanism: number;
  parameter?: { type: number; hashAlg: number; mgf: number; source: number };
}

export const CKF_OS_LOCKING_OK = 0x2;
export const CKF_SERIAL_SESSION = 0x4;
export const CKU_USER = 1;

export const CKO_PUBLIC_KEY = 2;
export const CKO_PRIVATE_KEY = 3;
export const CKO_SECRET_KEY = 4;
export const CKK_RSA = 0;

export const CKA_CLASS = 0x0;
export const CKA_LABEL = 0x3;
export const CKA_KEY_TYPE = 0x100;
export const CKA_ID = 0x102;
export const CKA_ENCRYPT = 0x104;
export const CKA_MODULUS = 0x120;
export const CKA_PUBLIC_EXPONENT = 0x122;

export const CKM_RSA_X_509 = 0x3;
export const CKM_RSA_PKCS_OAEP = 0x9;
export const CKM_SHA_1 = 0x220;
export const CKM_SHA256 = 0x250;
export const CKG_MGF1_SHA1 = 1;
export const CKG_MGF1_SHA256 = 2;
export const CKZ_DATA_SPECIFIED = 1;
/** Identifies the parameter's structure to pkcs11js. */
export const CK_PARAMS_RSA_OAEP = 4;

/** Calls a function of a module; failures become `TOKEN_FAILED`. */
export function call<T>(name: keyof Cryptoki, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw tokenFailed(name, error);
  }
}

export function tokenFailed(name: keyof Cryptoki, error: unknown): OcicryptError {
  const message = `the PKCS#11 token or its module failed: ${name} returned ${returnCode(error) ?? "no return code"}`;
  return new OcicryptError("TOKEN_FAILED", message);
}

/** The name of the CK_RV in an error of pkcs11js, which has it only in its message. */
export function returnCode(error: unknown): string | undefined {
  return error instanceof Error ? /CKR_[A-Z0-9_]+/.exec(error.message)?.[0] : undefined;
}
