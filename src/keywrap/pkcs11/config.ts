import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { OcicryptError } from "../../errors.js";
import { parseYamlMapping } from "./yaml.js";

/** Which PKCS #11 modules, which are native code, a key file may have loaded. */
export interface Pkcs11Config {
  /** Where a `module-name` is looked for, in this order. */
  moduleDirectories: readonly string[];
  /** Files, or with a `/` at the end directories, whose own files are allowed but none deeper. */
  allowedModulePaths: readonly string[];
}

const CONFIG_VARIABLE = "OCICRYPT_CONFIG";
const MAX_SIZE = 1024 * 1024;

/** Debian's names for what Node calls `process.arch`. */
const DEBIAN_ARCHITECTURES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["arm64", "aarch64"],
  ["ppc64", "powerpc64le"],
  ["riscv64", "riscv64"],
  ["s390x", "s390x"],
  ["x64", "x86_64"],
]);

/**
 * The configuration that Go reads too: of the environment variable `OCICRYPT_CONFIG`, `internal`
 * or a file, or else the first that exists of `ocicrypt.conf` in `$XDG_CONFIG_HOME`, `~/.config`
 * and `/etc`. Go looks for the last one below the working directory
 * (config/pkcs11config/config.go), which anybody may have written.
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

/** What `internal` stands for: the usual directories of distributions, all of them allowed. */
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
    // To Go this is an empty policy: "not allowed" for each and every module.
    throw invalid(path, 'it has no mapping "pkcs11" at the top, with the settings below it');
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
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw invalid(path, "it cannot be read", cause);
  }
  if (text.length > MAX_SIZE) throw invalid(path, "it is too large");
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
  const message = `a PKCS #11 module is loaded only where a configuration allows it: ${why}`;
  return new OcicryptError("PKCS11_CONFIG_MISSING", message);
}

function invalid(path: string, why: string, cause?: unknown): OcicryptError {
  const message = `the PKCS #11 configuration ${path} is of no use: ${why}`;
  return new OcicryptError("PKCS11_CONFIG_INVALID", message, cause === undefined ? {} : { cause });
}
