import type { OptionForm } from "./option-names.js";

/** The options of the commands that set up or check a node. */
export const NODE_OPTIONS: Readonly<
  Record<"containerd" | "root" | "runtime-config" | "from" | "to" | "watch", OptionForm>
> = {
  containerd: {
    type: "string",
    value: "1|2",
    what: "a version of containerd",
    example: "2",
    text: "the major version of containerd; by default, `runtime config` uses 2, and `runtime check` infers it from the configuration",
    completes: ["1", "2"],
  },
  root: {
    type: "string",
    value: "DIR",
    what: "a directory",
    example: "/host",
    text: "read all files of the node under this directory, such as the node's root in a container",
    completes: "file",
  },
  "runtime-config": {
    type: "string",
    value: "FILE",
    what: "a file",
    example: "/etc/containerd/config.toml",
    text: "read this configuration instead of the runtime's usual file",
    completes: "file",
  },
  from: {
    type: "string",
    value: "DIR",
    what: "a directory",
    example: "/run/secrets/keys",
    text: "copy the files of this directory, such as a mounted Secret",
    completes: "file",
  },
  to: {
    type: "string",
    value: "DIR",
    what: "a directory",
    example: "/etc/containerd/ocicrypt/keys",
    text: "copy the files to this directory, and remove earlier copies whose source is gone",
    completes: "file",
  },
  watch: {
    type: "boolean",
    text: "keep running, and copy again when files change",
  },
};
