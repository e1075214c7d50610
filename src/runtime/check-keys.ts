import { constants } from "node:fs";
import { access, lstat, readdir, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { cannotRead, errno, isOcicryptError } from "../errors.js";
import { NO_PRIVATE_KEY, readKeyFile } from "../keywrap/key-files/from-directory.js";
import { readKeyFiles } from "../keywrap/key-files/from-files.js";
import { recognizeKeyFile } from "../keywrap/key-files/recognise.js";
import { invocationOf, readProviders, type Providers } from "../keywrap/provider/config.js";
import { MAX_KEY_FILES } from "../spec/limits.js";
import { asOnNode, onNode, type Node } from "./config-files.js";
import { readKeys } from "./decoder-keys.js";

export type Problem =
  | "no-configuration"
  | "no-stream-processor"
  | "ambiguous-stream-processor"
  | "returns"
  | "zstd"
  | "decoder-missing"
  | "no-payload"
  | "local-image-pull"
  | "content-store"
  | "image-store"
  | "no-keys"
  | "keys-unreadable"
  | "keys-ignored"
  | "keys-rejected"
  | "provider";

/** Something that will not work. */
export interface Finding {
  /** A warning concerns only some clients or keys, which the runtime may not need. */
  level: "error" | "warning";
  problem: Problem;
  message: string;
  /** An imperative. */
  hint: string;
}

/** Checks a keys directory as `ocicrypt-decoder` reads it. */
export async function checkKeys(node: Node, path: string, signal: AbortSignal): Promise<Finding[]> {
  const { skipped } = await readKeys({ paths: [onNode(node, path)], signal });
  return skipped.map(({ code, message: text }) => {
    const message = asOnNode(node, text);
    if (code === "NO_KEYS") return noKeys(message);
    if (code === "KEY_UNREADABLE") {
      const hint = "check the path and its permissions";
      return { level: "error", problem: "keys-unreadable", message, hint };
    }
    const isForeign = NO_PRIVATE_KEY.includes(code);
    return {
      level: isForeign ? "warning" : "error",
      problem: "keys-ignored",
      message: `not used: ${message}`,
      hint: isForeign
        ? "remove the file from the keys directory, or ignore this"
        : code.startsWith("PASSWORD")
          ? "put the right password into NAME.password beside the key, with mode 0400"
          : code === "KEY_SERVER_CONFIG_INVALID"
            ? "correct the settings of key servers in this file"
            : "replace the key",
    };
  });
}

function noKeys(message: string): Finding {
  const hint = "put a private key into the directory, for example with ocicrypt keys sync";
  return { level: "error", problem: "no-keys", message, hint };
}

/**
 * Checks a keys directory as Go reads it: imgcrypt's decoder (cmd/ctd-decoder) and CRI-O
 * (internal/storage, getDecryptionKeys) walk it, and fail at a symbolic link.
 */
export async function checkGoKeys(
  node: Node,
  path: string,
  reader: "ctd-decoder" | "CRI-O",
): Promise<Finding[]> {
  const findings: Finding[] = [];
  let files: string[];
  try {
    files = await walk(onNode(node, path));
  } catch (error) {
    if (errno(error) === undefined) throw error;
    const level = reader === "CRI-O" && errno(error) === "ENOENT" ? "warning" : "error";
    const message = asOnNode(node, cannotRead(onNode(node, path), error));
    const hint = "create the directory, for example with ocicrypt keys sync";
    return [{ level, problem: "keys-unreadable", message, hint }];
  }
  let keys = 0;
  for (const file of files) {
    const why = await whyRejected(file);
    if (why === undefined) keys++;
    else findings.push(rejected(asOnNode(node, file), why, reader));
  }
  if (keys === 0 && findings.length === 0) {
    findings.push(noKeys(`the directory ${path} holds no private key`));
  }
  return findings;
}

function rejected(file: string, why: string, reader: "ctd-decoder" | "CRI-O"): Finding {
  const isFatal = reader === "ctd-decoder" || why === LINK;
  return {
    level: isFatal ? "error" : "warning",
    problem: isFatal ? "keys-rejected" : "keys-ignored",
    message: isFatal
      ? `with ${reader}, every pull fails because of ${file}: ${why}`
      : `${file}: ${why}`,
    hint:
      why === LINK
        ? "copy the files without links: ocicrypt keys sync --from DIR --to DIR"
        : `remove it, or use ocicrypt-decoder`,
  };
}

const LINK = "it is a symbolic link";

async function walk(path: string, files: string[] = []): Promise<string[]> {
  const stats = await lstat(path);
  if (!stats.isDirectory() || files.length > MAX_KEY_FILES) return [...files, path];
  let found = files;
  for (const name of (await readdir(path)).sort()) found = await walk(join(path, name), found);
  return found;
}

async function whyRejected(path: string): Promise<string | undefined> {
  if ((await lstat(path)).isSymbolicLink()) return LINK;
  try {
    const file = await readKeyFile(path);
    if (file === undefined) return "it is not a file";
    const form = recognizeKeyFile(file.content);
    if (form === "certificate") return undefined;
    if (form !== "private key") return `it holds a ${form}`;
    await readKeyFiles([{ ...file, password: undefined }], {});
    return undefined;
  } catch (error) {
    if (!isOcicryptError(error)) throw error;
    return error.code === "PASSWORD_MISSING" ? "its key is encrypted" : "it is not a private key";
  }
}

/**
 * Checks the configuration of key providers.
 *
 * @param file of `OCICRYPT_KEYPROVIDER_CONFIG`
 */
export async function checkProviders(node: Node, file: string): Promise<Finding[]> {
  const finding = (message: string, hint: string): Finding => {
    return { level: "error", problem: "provider", message: asOnNode(node, message), hint };
  };
  const findings: Finding[] = [];
  try {
    const providers = readProviders(onNode(node, file));
    const names = Object.keys(providers.entries);
    if (names.length === 0) {
      const message = `${file} names no key provider`;
      findings.push(finding(message, 'add one under "key-providers", or remove the file'));
    }
    for (const name of names) {
      const why = await whyUnusable(node, providers, name);
      if (why === undefined) continue;
      const message = `the key provider ${JSON.stringify(name)} of ${file} ${why}`;
      findings.push(finding(message, `correct the provider in ${file}`));
    }
  } catch (error) {
    if (!isOcicryptError(error)) throw error;
    findings.push(finding(error.message, `correct ${file}, or remove it from the configuration`));
  }
  return findings;
}

async function whyUnusable(
  node: Node,
  providers: Providers,
  name: string,
): Promise<string | undefined> {
  try {
    const provider = invocationOf(providers, name);
    if (provider.kind === "cmd") {
      const program = await findProgram(node, provider.path);
      return program === undefined
        ? `names a program that does not exist: ${provider.path}`
        : undefined;
    }
    const [, socket] = /^unix:(?:\/\/)?(\/.*)$/.exec(provider.address) ?? [];
    if (socket === undefined || (await isSocket(onNode(node, socket)))) return undefined;
    return `does not listen: there is no socket ${socket}`;
  } catch (error) {
    if (isOcicryptError(error)) return `cannot be used: ${error.message}`;
    throw error;
  }
}

async function isSocket(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isSocket(),
    () => false,
  );
}

/** The search path of systemd (systemd.exec), which starts the runtimes. */
const SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Returns the path of a program on the node; `undefined` if it cannot be run. */
export async function findProgram(node: Node, path: string): Promise<string | undefined> {
  const candidates = path.includes("/")
    ? [path]
    : SEARCH_PATH.split(delimiter).map((directory) => join(directory, path));
  for (const candidate of candidates.filter(isAbsolute)) {
    const place = onNode(node, candidate);
    try {
      await access(place, constants.X_OK);
      if ((await stat(place)).isFile()) return candidate;
    } catch {
      // The next one may be there.
    }
  }
  return undefined;
}
