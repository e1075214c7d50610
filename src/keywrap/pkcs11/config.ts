import { readFile, readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Stats } from "node:fs";
import { OcicryptError, errno, cannotRead } from "../../errors.js";
import { parseYamlMapping } from "./key-file.js";
import type { Pkcs11Uri } from "./uri.js";

/** The PKCS#11 modules, which are native code, that a key file may load. */
export interface Pkcs11Config {
  /** Directories in which a `module-name` is looked up, in this order. */
  moduleDirectories: readonly string[];
  /** Allowed files; a path that ends with `/` allows the files directly in that directory. */
  allowedModulePaths: readonly string[];
}

const CONFIG_VARIABLE = "OCICRYPT_CONFIG";
const MAX_SIZE = 1024 * 1024;

/** Debian's names of the values of `process.arch`. */
const DEBIAN_ARCHITECTURES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["arm64", "aarch64"],
  ["ppc64", "powerpc64le"],
  ["riscv64", "riscv64"],
  ["s390x", "s390x"],
  ["x64", "x86_64"],
]);

/**
 * Reads the configuration that Go also reads: `internal` or the file named by the environment
 * variable `OCICRYPT_CONFIG`, or else the first `ocicrypt.conf` found in `$XDG_CONFIG_HOME`,
 * `~/.config` and `/etc`. Go looks up the last one relative to the working directory
 * (config/pkcs11config/config.go), which anyone may have written.
 *
 * @throws {@link OcicryptError} `PKCS11_CONFIG_MISSING`, `PKCS11_CONFIG_INVALID`
 */
export async function loadConfig(): Promise<Pkcs11Config> {
  const named = process.env[CONFIG_VARIABLE] ?? "";
  if (named === "internal") return internalConfig();
  if (named !== "") {
    const config = await readConfigFile(named);
    if (config !== undefined) return config;
    throw missing(`${CONFIG_VARIABLE} names ${named}, which does not exist`);
  }
  const xdg = process.env.XDG_CONFIG_HOME ?? "";
  const directories = [...(xdg === "" ? [] : [xdg]), join(homedir(), ".config"), "/etc"];
  for (const directory of directories) {
    const config = await readConfigFile(join(directory, "ocicrypt.conf"));
    if (config !== undefined) return config;
  }
  throw missing(
    `no ocicrypt.conf in ${directories.join(", ")}, and no ${CONFIG_VARIABLE}, which may be ` +
      '"internal" to allow the modules in the usual directories',
  );
}

/** The meaning of `internal`: the usual directories of distributions, all allowed. */
export function internalConfig(): Pkcs11Config {
  const architecture = DEBIAN_ARCHITECTURES.get(process.arch);
  const directories = [
    "/usr/lib64/pkcs11/",
    "/usr/lib/pkcs11/",
    "/usr/local/lib/pkcs11/",
    "/usr/lib/softhsm/",
    ...(architecture === undefined ? [] : [`/usr/lib/${architecture}-linux-gnu/`]),
  ];
  return { moduleDirectories: directories, allowedModulePaths: directories };
}

/** @throws {@link OcicryptError} `PKCS11_CONFIG_INVALID` */
export async function parseConfigFile(text: string, path: string): Promise<Pkcs11Config> {
  const file = await parseYamlMapping(text);
  const section: unknown = file?.get("pkcs11");
  if (!(section instanceof Map)) {
    // Go reads this as an empty policy, which allows no module.
    throw invalid(path, 'it has no top-level mapping "pkcs11"');
  }
  return {
    moduleDirectories: readPaths(section.get("module-directories"), path),
    allowedModulePaths: readPaths(section.get("allowed-module-paths"), path),
  };
}

async function readConfigFile(path: string): Promise<Pkcs11Config | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (errno(cause) === "ENOENT") return undefined;
    throw invalid(path, cannotRead("it", cause), cause);
  }
  if (text.length > MAX_SIZE) throw invalid(path, "too large");
  return parseConfigFile(text, path);
}

function readPaths(value: unknown, path: string): string[] {
  if (value === undefined || value === "") return [];
  if (!Array.isArray(value)) throw invalid(path, "its settings are not lists of paths");
  return value.map((entry: unknown) => {
    if (typeof entry === "string" && isAbsolute(entry)) return entry;
    throw invalid(path, "a path in it is not absolute");
  });
}

function missing(why: string): OcicryptError {
  const message = `a configuration must allow the PKCS#11 module: ${why}`;
  return new OcicryptError("PKCS11_CONFIG_MISSING", message);
}

function invalid(path: string, why: string, cause?: unknown): OcicryptError {
  const message = `the PKCS#11 configuration ${path} is unusable: ${why}`;
  return new OcicryptError("PKCS11_CONFIG_INVALID", message, cause === undefined ? {} : { cause });
}

/**
 * Finds the file of the module that a URI names, in the same way as go-pkcs11uri.
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
  throw notFound(`no module of this name in ${directories.join(", ")}`);
}

/** Matches whole names: `softhsm` is libsofthsm.so and never libsofthsm2.so. */
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
    `the allowed-module-paths of the configuration do not allow the PKCS#11 module ${path}`,
  );
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch {
    return undefined;
  }
}

/** Sorted like Go's `os.ReadDir`, to choose the same file among several. */
async function filesOf(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch {
    return [];
  }
}

function notFound(why: string): OcicryptError {
  return new OcicryptError("MODULE_NOT_FOUND", `PKCS#11 module not found: ${why}`);
}
