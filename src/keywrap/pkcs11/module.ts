import { OcicryptError } from "../../errors.js";
import { loadConfig, type Pkcs11Config } from "./config.js";
import type { Cryptoki, Pkcs11Js } from "./cryptoki.js";
import { findModule } from "./config.js";
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
    const absent =
      cause instanceof Error && "code" in cause && cause.code === "ERR_MODULE_NOT_FOUND";
    const message = absent
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
