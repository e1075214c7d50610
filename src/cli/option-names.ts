/** How a shell completes the value of an option. */
export type Completion = "file" | "image" | "recipient" | "key" | readonly string[];

/** One option, as parsing, help, completion and the generated pages read it. */
export interface OptionForm {
  type: "boolean" | "string";
  multiple?: boolean;
  short?: string;
  /** The value as help shows it, such as `FILE`. Only flags have none. */
  value?: string;
  /** The value as messages call it, such as "a file". */
  what?: string;
  example?: string;
  /** The meaning, without a full stop; backticks mark code. */
  text?: string;
  /** The section of docs/command.md that says more. */
  see?: string;
  completes?: Completion;
  /** Our name of the option, if this one is another tool's name. */
  alias?: OptionName;
}

/** The options in the order of help. The long names are those of imgcrypt and nerdctl. */
export const OPTION_NAMES = [
  "recipient",
  "recipient-id",
  "kid",
  "key",
  "pgp-key-ring",
  "key-servers",
  "check-servers",
  "strict",
  "compat",
  "layer",
  "platform",
  "media-type",
  "min-size",
  "digest",
  "skip-base",
  "base",
  "reuse",
  "redact-history",
  "no-bind",
  "require-encrypted",
  "require-recipients",
  "require-bound",
  "allow-unverified",
  "verify-signature",
  "require-digest",
  "config",
  "plain-http",
  "ca-file",
  "authfile",
  "creds-stdin",
  "username",
  "password-stdin",
  "chunk-size",
  "keep-referrers",
  "digestfile",
  "all-tags",
  "jobs",
  "shard",
  "threads",
  "csv",
  "long",
  "recursive",
  "artifact-type",
  "output",
  "listen",
  "containerd",
  "root",
  "runtime-config",
  "from",
  "to",
  "watch",
  "debug",
  "json",
  "quiet",
  "help",
  "version",
  // skopeo's names for three of the options.
  "encryption-key",
  "decryption-key",
  "encrypt-layer",
] as const;

export type OptionName = (typeof OPTION_NAMES)[number];
