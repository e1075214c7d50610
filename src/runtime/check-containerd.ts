import { basename } from "node:path";
import { parseArgs } from "node:util";
import { checkGoKeys, checkKeys, checkProviders, findProgram, type Finding } from "./check-keys.js";
import { isDirectory, isFile, variable } from "./config-files.js";
import type { ContainerdConfig, Node, StreamProcessor } from "./config-files.js";
import {
  ANY_COMPRESSION,
  CONTAINERD_ROOTS,
  PAYLOAD_IDS,
  PROVIDER_VARIABLE,
  STORE_NAME,
  TYPE,
} from "./runtimes.js";

/** A runtime that decrypts with the stream processors of containerd. */
export type ContainerdRuntime = keyof typeof CONTAINERD_ROOTS;

/** A stream processor for an encrypted type, with the arguments of its decoder. */
interface Decoder {
  processor: StreamProcessor;
  type: string;
  /** Whether it is `ocicrypt-decoder`, not imgcrypt's `ctd-decoder`. */
  isOurs: boolean;
  keys: readonly string[];
  store: string | undefined;
}

/** Finds what keeps a containerd from decrypting images. */
export async function checkContainerd(
  node: Node,
  runtime: ContainerdRuntime,
  config: ContainerdConfig,
  signal: AbortSignal,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const decoders: Decoder[] = [];
  for (const compression of ["", "+gzip", "+zstd"]) {
    const type = `${TYPE}${compression}+encrypted`;
    const fitting = config.processors.filter(({ accepts }) => accepts.includes(type));
    findings.push(...checkProcessors(type, compression, fitting, runtime));
    decoders.push(...fitting.map((processor) => decoderOf(processor, type)));
  }
  for (const decoder of decoders) {
    findings.push(...checkReturns(decoder), ...checkPayload(runtime, config, decoder));
    findings.push(...checkStore(node, runtime, config, decoder));
  }
  const commands = new Set(decoders.map(({ processor: { path } }) => path));
  for (const path of commands) findings.push(...(await checkProgram(node, path)));
  findings.push(...(await checkAllKeys(node, decoders, signal)));
  return distinct(findings);
}

function decoderOf(processor: StreamProcessor, type: string): Decoder {
  const { values } = parseArgs({
    args: [...processor.args],
    options: {
      "decryption-keys-path": { type: "string", multiple: true },
      "content-store": { type: "string" },
    },
    strict: false,
    allowPositionals: true,
  });
  const keys = [values["decryption-keys-path"] ?? []].flat().filter((each) => typeof each === "string"); // prettier-ignore
  const store = values["content-store"];
  const isOurs = basename(processor.path).startsWith("ocicrypt-decoder") || store !== undefined;
  // Of several, Go's decoder takes the last one.
  const read = isOurs ? keys : keys.slice(-1);
  return { processor, type, isOurs, keys: read, store: typeof store === "string" ? store : undefined }; // prettier-ignore
}

function hintOf(runtime: ContainerdRuntime): string {
  return `use the stream processors that ocicrypt runtime config ${runtime} prints`;
}

function checkProcessors(
  type: string,
  compression: string,
  fitting: readonly StreamProcessor[],
  runtime: ContainerdRuntime,
): Finding[] {
  if (fitting.length === 0) {
    const message = `no stream processor accepts ${type}`;
    const problem = compression === "+zstd" ? "zstd" : "no-stream-processor";
    return [{ level: "error", problem, message, hint: hintOf(runtime) }];
  }
  if (fitting.length === 1) return [];
  const ids = fitting.map(({ id }) => id).join(" and ");
  const message = `${ids} accept ${type}, and containerd may choose any of them`;
  const hint = `use the ids ${PAYLOAD_IDS.join(" and ")}, which replace the processors that containerd has by default`;
  return [{ level: "error", problem: "ambiguous-stream-processor", message, hint }];
}

/** containerd unpacks a compressed layer only if its type says that it may be compressed. */
function checkReturns({ processor: { id, returns }, type }: Decoder): Finding[] {
  const isLayer = returns.startsWith(TYPE) || returns.startsWith("application/vnd.docker.image.");
  const isPlain = returns === TYPE;
  if (isLayer && (!isPlain || type === `${TYPE}+encrypted`)) return [];
  const message = `the stream processor ${id} returns ${JSON.stringify(returns)} for ${type}`;
  const hint = `set returns to ${type.replace("+encrypted", "")}, or to ${ANY_COMPRESSION} for any compression`;
  const problem = type.includes("zstd") ? "zstd" : "returns";
  return [{ level: "error", problem, message, hint }];
}

/** Without a payload, a decoder needs the manifest; only ours reads it from the content store. */
function checkPayload(
  runtime: ContainerdRuntime,
  { generation, usesLocalImagePull, keyModel }: ContainerdConfig,
  { processor, type, isOurs, store }: Decoder,
): Finding[] {
  if (isOurs && store !== undefined) return [];
  const id = processor.id;
  const hint = isOurs
    ? `add --content-store to the args of ${id}`
    : `use ocicrypt-decoder with --content-store: ocicrypt runtime config ${runtime}`;
  if (runtime === "docker") {
    const message = `Docker passes no payload to ${id}, which has no content store`;
    return [{ level: "error", problem: "no-payload", message, hint }];
  }
  if (!PAYLOAD_IDS.some((each) => each === id)) {
    const message = `no client passes a payload to ${id}, which has no content store`;
    const problem = type.includes("zstd") ? "zstd" : "no-payload";
    return [{ level: "error", problem, message, hint }];
  }
  if (keyModel !== "node") {
    const message = `CRI passes no payload to ${id} because its key_model is ${JSON.stringify(keyModel)}`;
    return [{ level: "error", problem: "no-payload", message, hint: `${hint}; or set key_model = "node"` }]; // prettier-ignore
  }
  if (generation === "2" && !usesLocalImagePull) {
    const message = `CRI of containerd 2.1 and later passes no payload to ${id}, which has no content store`;
    const other = `${hint}; or set use_local_image_pull = true under [plugins."io.containerd.cri.v1.images"]`;
    return [{ level: "error", problem: "local-image-pull", message, hint: other }];
  }
  const message = `ctr, Docker and others pass no payload to ${id}, which has no content store; only CRI does`;
  return [{ level: "warning", problem: "no-payload", message, hint }];
}

function checkStore(
  node: Node,
  runtime: ContainerdRuntime,
  config: ContainerdConfig,
  { processor: { id }, store }: Decoder,
): Finding[] {
  if (store === undefined) return [];
  const expected = `${config.root ?? CONTAINERD_ROOTS[runtime]}/${STORE_NAME}`;
  const hint = `set --content-store to ${expected}`;
  if (!isDirectory(node, store)) {
    const message = `the content store of ${id} does not exist: ${store}`;
    return [{ level: "error", problem: "content-store", message, hint }];
  }
  if (store.replace(/\/+$/, "") === expected) return [];
  const message = `the content store of ${id} is ${store}, but that of containerd should be ${expected}`;
  return [{ level: "warning", problem: "content-store", message, hint }];
}

async function checkProgram(node: Node, path: string): Promise<Finding[]> {
  if ((await findProgram(node, path)) !== undefined) return [];
  const message = `the decoder ${JSON.stringify(path)} does not exist, or cannot be run`;
  const hint = "install ocicrypt-decoder, and set path to its full path";
  return [{ level: "error", problem: "decoder-missing", message, hint }];
}

async function checkAllKeys(
  node: Node,
  decoders: readonly Decoder[],
  signal: AbortSignal,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  for (const { processor, isOurs, keys } of decoders) {
    const providers = variable(processor.env, PROVIDER_VARIABLE);
    const hasProviders = providers !== undefined && isFile(node, providers);
    if (keys.length === 0 && providers === undefined) {
      const message = `${processor.id} has no --decryption-keys-path and no key providers, so it can only use keys that a client sends`;
      const hint = "add --decryption-keys-path with the keys directory to its args";
      findings.push({ level: "warning", problem: "no-keys", message, hint });
    }
    for (const path of keys) {
      if (seen.has(`${path} ${String(isOurs)}`)) continue;
      seen.add(`${path} ${String(isOurs)}`);
      const own = isOurs
        ? await checkKeys(node, path, signal)
        : await checkGoKeys(node, path, "ctd-decoder");
      // Keys of providers are keys too.
      findings.push(...own.filter(({ problem }) => !(hasProviders && problem === "no-keys")));
    }
    // By default containerd names a file that need not exist.
    if (providers === undefined || seen.has(providers)) continue;
    seen.add(providers);
    const isDefault = processor.path === "ctd-decoder" && !hasProviders;
    if (!isDefault) findings.push(...(await checkProviders(node, providers)));
  }
  return findings;
}

/** The processors of several types often have the same program and keys. */
function distinct(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((each) => [`${each.problem} ${each.message}`, each])).values()];
}
