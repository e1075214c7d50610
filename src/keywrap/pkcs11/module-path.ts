import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { OcicryptError } from "../../errors.js";
import type { Pkcs11Config } from "./config.js";
import type { Pkcs11Uri } from "./uri.js";

/**
 * The file of the module that a URI asks for, as go-pkcs11uri finds it.
 *
 * @throws {@link OcicryptError} `MODULE_NOT_FOUND`, `MODULE_NOT_ALLOWED`
 */
export async function findModule(uri: Pkcs11Uri, config: Pkcs11Config): Promise<string> {
  const { modulePath, moduleName } = uri;
  let directories = config.moduleDirectories;
  if (modulePath !== undefined) {
    const stats = await statOf(modulePath);
    if (stats === undefined) throw notFound(`${modulePath} does not exist or is not accessible`);
    if (stats.isFile()) return requireAllowed(modulePath, config);
    if (!stats.isDirectory()) throw notFound(`${modulePath} is neither a file nor a directory`);
    directories = [modulePath];
  }
  if (moduleName === undefined) throw notFound("the URI has no module-name");
  for (const directory of directories) {
    for (const name of await filesOf(directory)) {
      if (!matches(name, moduleName)) continue;
      const path = join(directory, name);
      if ((await statOf(path))?.isFile() === true) return requireAllowed(path, config);
    }
  }
  if (directories.length === 0) throw notFound("the configuration has no module-directories");
  throw notFound(`none with this module-name in ${directories.join(", ")}`);
}

/** So that `softhsm` is libsofthsm.so and never libsofthsm2.so. */
function matches(fileName: string, moduleName: string): boolean {
  const file = fileName.toLowerCase();
  const name = moduleName.toLowerCase();
  const at = file.indexOf(name);
  return at >= 0 && ["", "."].includes(file.charAt(at + name.length));
}

function requireAllowed(path: string, { allowedModulePaths }: Pkcs11Config): string {
  const allowed = allowedModulePaths.some((entry) =>
    entry.endsWith("/")
      ? path.startsWith(entry) && !path.slice(entry.length).includes("/")
      : path === entry,
  );
  if (allowed) return path;
  throw new OcicryptError(
    "MODULE_NOT_ALLOWED",
    `the allowed-module-paths of the configuration do not allow the PKCS #11 module ${path}`,
  );
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch {
    return undefined;
  }
}

/** Sorted as Go's `os.ReadDir`, for the same choice among several. */
async function filesOf(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch {
    return [];
  }
}

function notFound(why: string): OcicryptError {
  return new OcicryptError("MODULE_NOT_FOUND", `the PKCS #11 module is not found: ${why}`);
}
