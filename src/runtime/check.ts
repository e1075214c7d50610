import { OcicryptError } from "../errors.js";
import { asObject } from "../text/json.js";
import { checkContainerd } from "./check-containerd.js";
import { checkGoKeys, checkProviders, type Finding } from "./check-keys.js";
import {
  invalidConfig,
  isFile,
  matching,
  readConfig,
  readContainerdConfig,
  variable,
  type Node,
} from "./config-files.js";
import {
  CRIO_KEYS_DIRECTORY,
  PROVIDER_VARIABLE,
  RUNTIMES,
  type ContainerdGeneration,
  type RuntimeName,
} from "./runtimes.js";

export interface CheckOptions {
  /** Default: each runtime whose configuration exists. */
  runtime?: RuntimeName | undefined;
  /** The directory that holds the files of the node. Default: `/` */
  root?: string | undefined;
  /** The configuration of the runtime, on the node. Default: the usual file of the runtime. */
  file?: string | undefined;
  /** Default: what the configuration of containerd says, or 1. */
  generation?: ContainerdGeneration | undefined;
  signal: AbortSignal;
}

/** The findings about one runtime. */
export interface RuntimeReport {
  runtime: RuntimeName;
  /** The configuration files that were read. */
  files: string[];
  findings: Finding[];
}

/** The usual configuration files; a last part with wildcards names more of them. */
const FILES: Readonly<Record<RuntimeName, readonly string[]>> = {
  containerd: ["/etc/containerd/config.toml"],
  docker: ["/etc/docker/daemon.json"],
  k3s: ["/var/lib/rancher/k3s/agent/etc/containerd/config.toml"],
  crio: ["/etc/crio/crio.conf", "/etc/crio/crio.conf.d/*"],
  podman: [
    "/usr/share/containers/containers.conf",
    "/etc/containers/containers.conf",
    "/etc/containers/containers.conf.d/*.conf",
  ],
};

/**
 * Reads the configurations of container runtimes and finds what keeps them from decrypting images.
 * Nothing is started.
 *
 * @throws {@link OcicryptError} `RUNTIME_CONFIG_INVALID`
 */
export async function checkRuntimes(options: CheckOptions): Promise<RuntimeReport[]> {
  const { runtime, root = "/", file } = options;
  const node = { root: root === "/" ? root : root.replace(/\/+$/, "") };
  const filesOf = (name: RuntimeName): string[] =>
    (file === undefined ? FILES[name] : [file])
      .flatMap((path) => matching(node, path))
      .filter((path) => isFile(node, path));
  if (runtime !== undefined) {
    return [await checkRuntime(node, runtime, filesOf(runtime), options)];
  }
  const reports: RuntimeReport[] = [];
  for (const name of file === undefined ? RUNTIMES : (["containerd"] as const)) {
    const files = filesOf(name);
    if (files.length > 0) reports.push(await checkRuntime(node, name, files, options));
  }
  if (reports.length > 0) return reports;
  const message = `there is no configuration of ${RUNTIMES.join(", ")}${root === "/" ? "" : ` in ${root}`}`;
  throw new OcicryptError("RUNTIME_CONFIG_INVALID", message);
}

async function checkRuntime(
  node: Node,
  runtime: RuntimeName,
  files: string[],
  { file, generation, signal }: CheckOptions,
): Promise<RuntimeReport> {
  if (file !== undefined && files.length === 0) throw invalidConfig(file, "there is no such file");
  switch (runtime) {
    case "containerd":
    case "k3s": {
      const config = readContainerdConfig(node, files[0] ?? FILES[runtime][0] ?? "", generation);
      const findings = await checkContainerd(node, runtime, config, signal);
      return { runtime, files: config.files, findings: [...absent(files, runtime), ...findings] };
    }
    case "docker": {
      const own = readConfig(node, files[0] ?? FILES.docker[0] ?? "") ?? {};
      const config = readContainerdConfig(node, FILES.containerd[0] ?? "", generation);
      const findings = await checkContainerd(node, runtime, config, signal);
      const all = [...checkImageStore(own), ...findings];
      return { runtime, files: [...files, ...config.files], findings: all };
    }
    case "crio":
      return { runtime, files, findings: await checkCrio(node, files) };
    case "podman":
      return { runtime, files, findings: await checkPodman(node, files) };
  }
}

function absent(files: readonly string[], runtime: RuntimeName): Finding[] {
  if (files.length > 0) return [];
  const message = `${FILES[runtime][0] ?? ""} does not exist; containerd has its default configuration`;
  const hint = `create it from the output of ocicrypt runtime config ${runtime}`;
  return [{ level: "warning", problem: "no-configuration", message, hint }];
}

/** https://docs.docker.com/engine/storage/containerd/ */
function checkImageStore(daemon: Readonly<Record<string, unknown>>): Finding[] {
  const setting = asObject(daemon.features)?.["containerd-snapshotter"];
  if (setting === true) return [];
  const message =
    setting === false
      ? "Docker's own image store cannot decrypt layers"
      : "Docker before version 29 has its own image store by default, which cannot decrypt layers";
  const hint = `add { "features": { "containerd-snapshotter": true } } to /etc/docker/daemon.json`;
  return [
    { level: setting === false ? "error" : "warning", problem: "image-store", message, hint },
  ];
}

/** https://github.com/cri-o/cri-o/blob/main/docs/crio.conf.5.md */
async function checkCrio(node: Node, files: readonly string[]): Promise<Finding[]> {
  let path = CRIO_KEYS_DIRECTORY;
  for (const file of files) {
    const table = asObject(asObject(readConfig(node, file)?.crio)?.runtime);
    const named = table?.decryption_keys_path ?? path;
    if (typeof named !== "string")
      throw invalidConfig(file, "decryption_keys_path is not a string");
    path = named;
  }
  return path === "" ? [] : checkGoKeys(node, path, "CRI-O");
}

/** https://github.com/containers/common/blob/main/docs/containers.conf.5.md */
async function checkPodman(node: Node, files: readonly string[]): Promise<Finding[]> {
  let env: unknown[] = [];
  for (const file of files) {
    const named = asObject(readConfig(node, file)?.engine)?.env;
    if (Array.isArray(named)) env = named;
  }
  const config = variable(env, PROVIDER_VARIABLE);
  return config === undefined ? [] : checkProviders(node, config);
}
