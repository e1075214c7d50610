import type { OptionName } from "./options.js";

/** One command, as parsing, help, completion and the generated pages read it; backticks mark code. */
export interface CommandForm {
  /** The names of the arguments, in order; `file...` is one or more files. */
  takes: readonly string[];
  /** The part of the usage line between the arguments and `[options]`. */
  usage?: string;
  /** One line, for lists of commands. */
  summary: string;
  /** A paragraph, for the command's own help. */
  description: string;
  options: readonly OptionName[];
  /** The meanings of options that differ for this command. */
  texts?: Partial<Record<OptionName, string>>;
  /** Whether the command writes nothing. */
  isReading?: true;
  /** Groups of options; the command requires at least one option of each group. */
  needs?: readonly { options: readonly OptionName[]; what: string; hint: string }[];
  examples: readonly string[];
}

const KEYS = ["key", "decryption-key"] as const;

/** For commands whose result is not an image. */
const NO_DIGEST = { quiet: "print no progress" } as const;

/** The commands that are not about one image: registries, repositories and files. */
export const OTHER_COMMANDS: Readonly<
  Record<
    | ("login" | "logout" | "audit" | "provider" | "push" | "pull" | "completion")
    | ("keys sync" | "runtime config" | "runtime check"),
    CommandForm
  >
> = {
  login: {
    takes: ["registry"],
    usage: "--username <name>",
    summary: "store the credentials for a registry",
    description:
      "Checks a user name and a password with a registry, and stores them where docker, podman and " +
      "skopeo also find them: in the configured credential helper, in the file of `--authfile` or " +
      "`REGISTRY_AUTH_FILE`, or else in Docker's `config.json`.",
    options: ["username", "password-stdin"],
    texts: { authfile: "store the credentials in this file", ...NO_DIGEST },
    needs: [
      { options: ["username"], what: "a user name", hint: "name a user, such as --username alice" },
    ],
    isReading: true,
    examples: [
      "ocicrypt login registry.example --username alice",
      "ocicrypt login registry.example --username ci --password-stdin < token.txt",
    ],
  },
  logout: {
    takes: ["registry"],
    summary: "remove the credentials for a registry",
    description:
      "Removes the credentials for a registry from the files and credential helpers that `ocicrypt` " +
      "reads. Entries for single repositories are kept.",
    options: [],
    texts: { authfile: "remove the credentials from this file only", ...NO_DIGEST },
    isReading: true,
    examples: ["ocicrypt logout registry.example"],
  },
  audit: {
    takes: ["image..."],
    usage: "[-k <key>...] [-r <recipient>...]",
    summary: "show which tags of repositories are encrypted, and for whom",
    description:
      "Shows for each tag and platform whether its layers are encrypted, who their recipients are, " +
      "which keys open them, and whether they still name a recipient of `-r`. A repository or " +
      "layout without a tag means all its images. Reads only manifests.",
    options: ["recipient", "recipient-id", ...KEYS, "key-servers", "csv", "jobs", "shard"],
    texts: {
      recipient: "report the images that still name the recipient of this public key file",
      "recipient-id": "report the images that still name this recipient, by its kid or key id",
      key: "a private key to try",
      ...NO_DIGEST,
    },
    isReading: true,
    examples: [
      "ocicrypt audit docker://registry.example/app docker://registry.example/db",
      "ocicrypt audit docker://registry.example/app -r jwe:bob.pem --csv",
    ],
  },
  provider: {
    takes: ["name"],
    usage: "[-r <recipient>] [-k <key>...]",
    summary: "wrap and unwrap keys for skopeo, containerd and other tools",
    description:
      "Speaks the key provider protocol for the key server of this name, so that skopeo, buildah, " +
      "podman, CRI-O and containerd can use the key server. Answers one request on standard input, " +
      "because these tools start the command for each request. With `--listen`, serves requests " +
      "until it is stopped.",
    options: ["recipient", ...KEYS, "key-servers", "listen"],
    texts: {
      recipient: "wrap for this recipient if the tool does not name one",
      key: "a key that unwraps the keys of layers",
      ...NO_DIGEST,
    },
    isReading: true,
    examples: [
      "ocicrypt provider age -k identity.txt",
      "ocicrypt provider age -k identity.txt --listen unix:/run/ocicrypt/age.sock",
      "ocicrypt provider age -k identity.txt --listen ttrpc+unix:/run/ocicrypt/age.sock",
    ],
  },
  push: {
    takes: ["image", "file..."],
    usage: "-r <recipient>...",
    summary: "encrypt files into an artifact",
    description:
      "Encrypts files into an OCI artifact with one blob for each file, like `oras push`. The names " +
      "and sizes of the files stay readable.",
    options: [
      "recipient",
      "encryption-key",
      "kid",
      "pgp-key-ring",
      "key-servers",
      "strict",
      "artifact-type",
      "threads",
      "digestfile",
    ],
    needs: [
      {
        options: ["recipient", "encryption-key"],
        what: "a recipient",
        hint: "name a recipient with -r, such as -r jwe:public.pem",
      },
    ],
    examples: [
      "ocicrypt push docker://registry.example/model:1 weights.bin card.md -r jwe:public.pem",
    ],
  },
  pull: {
    takes: ["image"],
    usage: "-k <key>...",
    summary: "decrypt the files of an artifact",
    description:
      "Decrypts the files of an OCI artifact into a directory. No file appears before all files are " +
      "verified, and no existing file is replaced.",
    options: [...KEYS, "key-servers", "output", "threads", "verify-signature", "require-digest"],
    texts: { key: "a private key that opens the files" },
    needs: [{ options: KEYS, what: "a key", hint: "name a key with -k, such as -k private.pem" }],
    isReading: true,
    examples: ["ocicrypt pull docker://registry.example/model:1 -k private.pem -o model"],
  },
  "keys sync": {
    takes: [],
    usage: "--from <dir> --to <dir>",
    summary: "copy keys from a mounted Secret or a directory to a node's keys directory",
    description:
      "Copies the files of a directory to a node's keys directory: atomically, with mode 0600, and " +
      "without symbolic links, which CRI-O and Go's decoder reject. Removes earlier copies whose " +
      "source is gone. Never changes or removes files that it did not create. With `--watch`, runs " +
      "until it is stopped, and prints a line for each change and at least once a minute.",
    options: ["from", "to", "watch"],
    needs: [
      { options: ["from"], what: "a source", hint: "name a directory, such as --from /run/keys" },
      {
        options: ["to"],
        what: "a destination",
        hint: "name the keys directory, such as --to /etc/containerd/ocicrypt/keys",
      },
    ],
    isReading: true,
    examples: ["ocicrypt keys sync --from /run/secrets/keys --to /etc/containerd/ocicrypt/keys"],
  },
  "runtime config": {
    takes: ["runtime"],
    summary: "print the configuration that lets a runtime decrypt images",
    description:
      "Prints the configuration that lets containerd, docker, k3s, crio or podman decrypt images. A " +
      "comment names the file to write it to.",
    options: ["containerd"],
    isReading: true,
    examples: [
      "ocicrypt runtime config containerd --containerd 1",
      "ocicrypt runtime config k3s > config-v3.toml.tmpl",
    ],
  },
  "runtime check": {
    takes: ["[runtime]"],
    summary: "check whether the runtimes of this node can decrypt images",
    description:
      "Reads the configuration of containerd, docker, k3s, crio or podman, the keys directory and " +
      "the key providers, and reports what will not work and why. Without a runtime, checks each " +
      "runtime whose configuration exists.",
    options: ["containerd", "root", "runtime-config"],
    isReading: true,
    examples: ["ocicrypt runtime check", "ocicrypt runtime check containerd --root /host --json"],
  },
  completion: {
    takes: ["shell"],
    summary: "print a completion script for bash, zsh or fish",
    description:
      "Prints a script that completes commands, options and file names in bash, zsh or fish. Load " +
      "the script when the shell starts, for example in ~/.bashrc.",
    options: [],
    texts: NO_DIGEST,
    isReading: true,
    examples: [
      'eval "$(ocicrypt completion bash)"',
      "ocicrypt completion zsh > ~/.zsh/completions/_ocicrypt",
      "ocicrypt completion fish > ~/.config/fish/completions/ocicrypt.fish",
    ],
  },
};
