import { readdirSync, readFileSync, statSync, type Stats } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { cannotRead, OcicryptError } from "../errors.js";
import { isAbsent } from "../io/files.js";
import { MAX_KEY_FILE_SIZE } from "../spec/limits.js";
import { asObject, isTexts, type JsonObject } from "../text/json.js";
import { printable } from "../text/printable.js";
import { TYPE, type ContainerdGeneration } from "./runtimes.js";

/** The files of a node, which may be under another directory than `/`. */
export interface Node {
  root: string;
}

/** Returns where a file of the node is. */
export function onNode({ root }: Node, path: string): string {
  return root === "/" ? path : join(root, path);
}

/** Replaces the places of files in a text with their paths on the node. */
export function asOnNode({ root }: Node, text: string): string {
  return root === "/" ? text : text.replaceAll(`${root}/`, "/");
}

/** Returns `undefined` for anything that is not there or cannot be reached. */
function statsOf(node: Node, path: string): Stats | undefined {
  try {
    return statSync(onNode(node, path));
  } catch {
    return undefined;
  }
}

export function isFile(node: Node, path: string): boolean {
  return statsOf(node, path)?.isFile() === true;
}

export function isDirectory(node: Node, path: string): boolean {
  return statsOf(node, path)?.isDirectory() === true;
}

/**
 * Reads a configuration in TOML or JSON.
 *
 * @returns `undefined` if there is no such file
 * @throws {@link OcicryptError} `RUNTIME_CONFIG_INVALID`; no message quotes the file, which may
 *   hold passwords of registries
 */
export function readConfig(node: Node, path: string): JsonObject | undefined {
  const place = onNode(node, path);
  let text: string;
  try {
    const stats = statSync(place);
    if (!stats.isFile()) throw invalidConfig(path, "it is not a file");
    if (stats.size > MAX_KEY_FILE_SIZE) throw invalidConfig(path, "it is larger than 1 MiB");
    text = readFileSync(place, "utf8");
  } catch (error) {
    if (error instanceof OcicryptError) throw error;
    if (isAbsent(error)) return undefined;
    throw invalidConfig(path, asOnNode(node, cannotRead(place, error)));
  }
  try {
    if (!path.endsWith(".json")) return asObject(parse(text));
    const content = asObject(JSON.parse(text));
    if (content !== undefined) return content;
  } catch (error) {
    if (error instanceof TomlError) throw invalidConfig(path, `it is not TOML, see line ${String(error.line)}`); // prettier-ignore
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw invalidConfig(path, "it is not a JSON object");
}

export function invalidConfig(path: string, why: string): OcicryptError {
  const message = `the configuration ${printable(path, 300)} cannot be used: ${printable(why, 300)}`;
  return new OcicryptError("RUNTIME_CONFIG_INVALID", message);
}

/** A stream processor of containerd. */
export interface StreamProcessor {
  id: string;
  accepts: readonly string[];
  returns: string;
  path: string;
  args: readonly string[];
  env: readonly string[];
}

export interface ContainerdConfig {
  /** The files that exist, in the order in which containerd reads them. */
  files: string[];
  generation: ContainerdGeneration;
  /** The directory of the content store and all other content. */
  root: string | undefined;
  processors: StreamProcessor[];
  /** Whether CRI of containerd 2.x pulls images itself, not through the transfer service. */
  usesLocalImagePull: boolean;
  keyModel: string;
}

/**
 * Reads the configuration of containerd with its imports, as containerd merges them: stream
 * processors by their ids, each as a whole (containerd config/config.go).
 *
 * @throws {@link OcicryptError} `RUNTIME_CONFIG_INVALID`
 */
export function readContainerdConfig(
  node: Node,
  path: string,
  generation?: ContainerdGeneration,
): ContainerdConfig {
  const files = new Map<string, JsonObject>();
  readWithImports(node, path, files);
  const contents = [...files.values()];
  const version = contents[0]?.version;
  const isNew = generation === undefined ? version === 3 : generation === "2";
  const processors = new Map(DEFAULT_PROCESSORS.map((each) => [each.id, each]));
  let root: string | undefined;
  for (const [file, content] of files) {
    root = typeof content.root === "string" && content.root !== "" ? content.root : root;
    for (const [id, value] of Object.entries(asObject(content.stream_processors) ?? {})) {
      processors.set(id, readProcessor(file, id, value));
    }
  }
  const plugin = isNew ? "io.containerd.cri.v1.images" : "io.containerd.grpc.v1.cri";
  const plugins = contents.map(({ plugins: all }) => asObject(asObject(all)?.[plugin])).filter((each) => each !== undefined); // prettier-ignore
  // Only containerd 2.x merges the members of plugins.
  const read = isNew ? plugins : plugins.slice(-1);
  const settings = Object.assign({}, ...read) as JsonObject;
  const keyModel = asObject(settings.image_decryption)?.key_model;
  return {
    files: [...files.keys()],
    generation: isNew ? "2" : "1",
    root,
    processors: [...processors.values()],
    usesLocalImagePull: settings.use_local_image_pull === true,
    keyModel: typeof keyModel === "string" ? keyModel : "node",
  };
}

const MAX_IMPORTS = 100;

function readWithImports(node: Node, path: string, files: Map<string, JsonObject>): void {
  if (files.has(path)) return;
  const content = readConfig(node, path);
  if (content === undefined) return;
  if (files.size > MAX_IMPORTS) throw invalidConfig(path, "it has too many imports");
  files.set(path, content);
  const imports: unknown = content.imports ?? [];
  if (!isTexts(imports)) throw invalidConfig(path, "its imports are not a list of strings");
  for (const pattern of imports) {
    // containerd looks up wildcards from its working directory.
    const from = pattern.includes("*") ? "/" : dirname(path);
    for (const file of matching(node, resolve(from, pattern))) {
      readWithImports(node, file, files);
    }
  }
}

/** Returns the files that a path with wildcards in its last part names. */
export function matching(node: Node, pattern: string): string[] {
  const [directory, name] = [dirname(pattern), basename(pattern)];
  if (!name.includes("*")) return [pattern];
  const escaped = name.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  const expression = new RegExp(`^${escaped.replace(/\*+/g, ".*").replaceAll("?", ".")}$`, "s");
  try {
    const names = readdirSync(onNode(node, directory)).filter((each) => expression.test(each));
    return names.sort().map((each) => join(directory, each));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw invalidConfig(pattern, asOnNode(node, cannotRead(directory, error)));
  }
}

/** The stream processors that containerd has without a configuration: `containerd config default`. */
const DEFAULT_PROCESSORS: readonly StreamProcessor[] = ["", "+gzip"].map((suffix) => ({
  id: `io.containerd.ocicrypt.decoder.v1.tar${suffix.replace("+", ".")}`,
  accepts: [`${TYPE}${suffix}+encrypted`],
  returns: `${TYPE}${suffix}`,
  path: "ctd-decoder",
  args: ["--decryption-keys-path", "/etc/containerd/ocicrypt/keys"],
  env: ["OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf"],
}));

function readProcessor(file: string, id: string, value: unknown): StreamProcessor {
  const { accepts = [], args = [], env = [], path = "", returns = "" } = asObject(value) ?? {};
  const isRight = isTexts(accepts) && isTexts(args) && isTexts(env);
  if (isRight && typeof path === "string" && typeof returns === "string") {
    return { id, accepts, args, env, path, returns };
  }
  throw invalidConfig(
    file,
    `its stream processor ${JSON.stringify(id)} has a member of the wrong type`,
  );
}

/** Returns the value of the last definition of a variable. */
export function variable(env: readonly unknown[], name: string): string | undefined {
  const texts = env.filter((each) => typeof each === "string");
  return texts.findLast((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
}
