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

/** The commands that are not about one image: registries, repositories and files. */
export const OTHER_COMMANDS: Readonly<
  Record<"login" | "logout" | "audit" | "push" | "pull" | "completion", CommandForm>
> = {
  login: {
    takes: ["registry"],
    usage: "--username <name>",
    summary: "store the credentials for a registry",
    description:
      "Checks a user name and a password with a registry, and stores them where docker, podman and " +
      "skopeo also find them: in the credential helper that is configured, in the file of " +
      "`--authfile` or `REGISTRY_AUTH_FILE`, or else in Docker's `config.json`.",
    options: ["username", "password-stdin"],
    texts: { authfile: "store the credentials in this file" },
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
    texts: { authfile: "remove the credentials from this file only" },
    isReading: true,
    examples: ["ocicrypt logout registry.example"],
  },
  audit: {
    takes: ["image..."],
    usage: "[-k <key>...] [-r <recipient>...]",
    summary: "show which tags of repositories are encrypted, and for whom",
    description:
      "Shows for each tag and platform whether its layers are encrypted, for whom, which keys open " +
      "them, and whether they still name a recipient of `-r`. A repository or layout without a tag " +
      "means all its images. Reads only manifests.",
    options: ["recipient", "recipient-id", ...KEYS, "csv", "jobs", "shard"],
    texts: {
      recipient: "report the images that still name the recipient of this public key file",
      "recipient-id": "report the images that still name this recipient, by its kid or key id",
      key: "a private key to try",
    },
    isReading: true,
    examples: [
      "ocicrypt audit docker://registry.example/app docker://registry.example/db",
      "ocicrypt audit docker://registry.example/app -r jwe:bob.pem --csv",
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
      "strict",
      "artifact-type",
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
      "Decrypts the files of an OCI artifact into a directory. No file appears before all are " +
      "verified, and no existing file is replaced.",
    options: [...KEYS, "output", "verify-signature", "require-digest"],
    texts: { key: "a private key that opens the files" },
    needs: [{ options: KEYS, what: "a key", hint: "name a key with -k, such as -k private.pem" }],
    isReading: true,
    examples: ["ocicrypt pull docker://registry.example/model:1 -k private.pem -o model"],
  },
  completion: {
    takes: ["shell"],
    summary: "print a completion script for bash, zsh or fish",
    description:
      "Prints a script that completes commands, options and file names in bash, zsh or fish. Load " +
      "the script when the shell starts, for example in ~/.bashrc.",
    options: [],
    isReading: true,
    examples: [
      'eval "$(ocicrypt completion bash)"',
      "ocicrypt completion zsh > ~/.zsh/completions/_ocicrypt",
      "ocicrypt completion fish > ~/.config/fish/completions/ocicrypt.fish",
    ],
  },
};
