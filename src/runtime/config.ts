import {
  ANY_COMPRESSION,
  CONTAINERD_ROOTS,
  CRIO_KEYS_DIRECTORY,
  DECODER,
  KEYS_DIRECTORY,
  PAYLOAD_IDS,
  PROVIDER_CONFIG,
  PROVIDER_VARIABLE,
  STORE_NAME,
  TYPE,
  type ContainerdGeneration,
  type RuntimeName,
} from "./runtimes.js";

/** The configuration that lets a runtime decrypt images. */
export interface RuntimeConfig {
  runtime: RuntimeName;
  /** The file to write it to. */
  file: string;
  content: string;
}

const CONTAINERD_FILE = "/etc/containerd/conf.d/ocicrypt.toml";
const K3S_DIRECTORY = "/var/lib/rancher/k3s/agent/etc/containerd";

/**
 * Returns the configuration for a runtime.
 *
 * @param generation the generation of containerd, for the runtimes that use containerd. Default: 2
 */
export function runtimeConfig(
  runtime: RuntimeName,
  generation: ContainerdGeneration = "2",
): RuntimeConfig {
  const version = generation === "1" ? "2" : "3";
  switch (runtime) {
    case "containerd":
    case "docker":
      return {
        runtime,
        file: CONTAINERD_FILE,
        content: lines(
          `# ${CONTAINERD_FILE}, for containerd ${generation}.x`,
          "#",
          ...(runtime === "docker" ? DOCKER_NOTE : []),
          "# Add this line to /etc/containerd/config.toml, before its first [section]:",
          `#   imports = ["/etc/containerd/conf.d/*.toml"]`,
          "# Then restart containerd.",
          `version = ${version}`,
          "",
          ...processors(CONTAINERD_ROOTS[runtime]),
        ),
      };
    case "k3s": {
      const file = `${K3S_DIRECTORY}/${generation === "1" ? "config.toml.tmpl" : "config-v3.toml.tmpl"}`;
      return {
        runtime,
        file,
        content: lines(
          `{{ template "base" . }}`,
          "",
          `# ${file}, for containerd ${generation}.x`,
          "# Then restart k3s, or k3s-agent. It writes config.toml from this file.",
          "",
          ...processors(CONTAINERD_ROOTS.k3s),
        ),
      };
    }
    case "crio":
      return {
        runtime,
        file: "/etc/crio/crio.conf.d/50-ocicrypt.conf",
        content: lines(
          "# /etc/crio/crio.conf.d/50-ocicrypt.conf",
          "#",
          "# CRI-O decrypts by itself. If the directory contains a symbolic link, every pull fails.",
          "# For key providers, add this to the [Service] section of the unit crio:",
          `#   Environment=${PROVIDER_VARIABLE}=/etc/crio/ocicrypt_keyprovider.conf`,
          "[crio.runtime]",
          `decryption_keys_path = ${JSON.stringify(CRIO_KEYS_DIRECTORY)}`,
        ),
      };
    case "podman":
      return {
        runtime,
        file: "/etc/containers/containers.conf.d/50-ocicrypt.conf",
        content: lines(
          "# /etc/containers/containers.conf.d/50-ocicrypt.conf",
          "#",
          "# podman and buildah decrypt by themselves. They have no setting for keys: name each key on the",
          "# command line, with podman pull --decryption-key FILE or podman build --decryption-key FILE.",
          "# This setting lets them use key providers.",
          "[engine]",
          `env = [${JSON.stringify(`${PROVIDER_VARIABLE}=/etc/containers/ocicrypt_keyprovider.conf`)}]`,
        ),
      };
  }
}

const DOCKER_NOTE = [
  "# Docker decrypts images only with the containerd image store. Add to /etc/docker/daemon.json:",
  `#   { "features": { "containerd-snapshotter": true } }`,
  "# Then restart Docker.",
  "#",
];

/**
 * Only stream processors: an imported file replaces whole sections of plugins in containerd 1.x,
 * and the `key_model` is `node` already.
 */
function processors(root: string): string[] {
  const [gzip, tar] = PAYLOAD_IDS;
  const args = ["--decryption-keys-path", KEYS_DIRECTORY, "--content-store", `${root}/${STORE_NAME}`]; // prettier-ignore
  const common = [
    `path = ${JSON.stringify(DECODER)}`,
    "args = [",
    ...args.map((arg) => `  ${JSON.stringify(arg)},`),
    "]",
    `# For key providers:`,
    `# env = [${JSON.stringify(`${PROVIDER_VARIABLE}=${PROVIDER_CONFIG}`)}]`,
  ];
  return [
    `[stream_processors.${JSON.stringify(gzip)}]`,
    `accepts = [${JSON.stringify(`${TYPE}+gzip+encrypted`)}]`,
    `returns = ${JSON.stringify(`${TYPE}+gzip`)}`,
    ...common,
    "",
    "# Clients send their payloads only to these two ids, so this one also takes zstd. containerd",
    "# detects the compression of what it returns.",
    `[stream_processors.${JSON.stringify(tar)}]`,
    "accepts = [",
    `  ${JSON.stringify(`${TYPE}+encrypted`)},`,
    `  ${JSON.stringify(`${TYPE}+zstd+encrypted`)},`,
    "]",
    `returns = ${JSON.stringify(ANY_COMPRESSION)}`,
    ...common,
  ];
}

function lines(...all: string[]): string {
  return `${all.join("\n")}\n`;
}
