/** The runtimes whose configuration is known. */
export const RUNTIMES = ["containerd", "docker", "k3s", "crio", "podman"] as const;

export type RuntimeName = (typeof RUNTIMES)[number];

/** The generation of containerd: 1.x or 2.x. */
export type ContainerdGeneration = "1" | "2";

/** The media types of encrypted layers. */
export const TYPE = "application/vnd.oci.image.layer.v1.tar";

/** The ids that imgcrypt's clients fill with a payload (imgcrypt images/encryption/client.go). */
export const PAYLOAD_IDS = [
  "io.containerd.ocicrypt.decoder.v1.tar.gzip",
  "io.containerd.ocicrypt.decoder.v1.tar",
] as const;

/** A layer type of Docker: containerd recognises the compression of its content. */
export const ANY_COMPRESSION = "application/vnd.docker.image.rootfs.diff.tar";

export const DECODER = "/usr/local/bin/ocicrypt-decoder";

/** The last part of the path of containerd's content store, after containerd's root. */
export const STORE_NAME = "io.containerd.content.v1.content";

/** The root directory of the containerd of a runtime, unless its configuration names another. */
export const CONTAINERD_ROOTS = {
  containerd: "/var/lib/containerd",
  docker: "/var/lib/containerd",
  k3s: "/var/lib/rancher/k3s/agent/containerd",
} as const;

export const KEYS_DIRECTORY = "/etc/containerd/ocicrypt/keys";
export const PROVIDER_CONFIG = "/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf";
export const CRIO_KEYS_DIRECTORY = "/etc/crio/keys/";

/** The variable that names the configuration of key providers, in Go and here. */
export const PROVIDER_VARIABLE = "OCICRYPT_KEYPROVIDER_CONFIG";
