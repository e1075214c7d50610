import type { OptionName } from "./options.js";

/** What one command takes and says about itself; backticks mark code. */
export interface CommandForm {
  /** The names of its images and other arguments, in order; `file...` is one or more. */
  takes: readonly string[];
  /** What its usage line says between the images and `[options]`. */
  usage?: string;
  /** One line, for lists of commands. */
  summary: string;
  /** A paragraph, for its own help. */
  description: string;
  options: readonly OptionName[];
  /** What an option means for this command, where that differs. */
  texts?: Partial<Record<OptionName, string>>;
  /** Whether it writes nothing. */
  isReading?: true;
  /** At least one option of each of these is required; what to say if none is given. */
  needs?: readonly { options: readonly OptionName[]; what: string; hint: string }[];
  examples: readonly string[];
}

const TO = ["source", "destination"] as const;
const SELECT = ["layer", "platform", "media-type", "min-size", "digest"] as const;
const KEYS = ["key", "decryption-key"] as const;
const RECIPIENTS = [
  "recipient",
  "encryption-key",
  "kid",
  "pgp-key-ring",
  "strict",
  "compat",
] as const;

const A_RECIPIENT = {
  options: ["recipient", "encryption-key"],
  what: "a recipient",
  hint: "name one with -r, such as -r jwe:public.pem",
} as const;
const A_KEY = {
  options: KEYS,
  what: "a key",
  hint: "name one with -k, such as -k private.pem",
} as const;

const REWRAP = {
  usage: "-r <recipient>... -k <key>...",
  options: [...RECIPIENTS, ...KEYS, ...SELECT, "digestfile"],
  texts: { key: "a private key that opens the image" },
  needs: [A_RECIPIENT, A_KEY],
} as const;

/** The commands, in the order of help. */
export const COMMANDS = [
  "encrypt",
  "decrypt",
  "inspect",
  "recipients list",
  "recipients add",
  "recipients remove",
  "recipients replace",
  "rotate",
  "completion",
] as const;

export type CommandName = (typeof COMMANDS)[number];

export const COMMAND_TABLE: Readonly<Record<CommandName, CommandForm>> = {
  encrypt: {
    takes: TO,
    usage: "-r <recipient>...",
    summary: "encrypt the layers of an image",
    description:
      "Encrypts the layers of an image so that only holders of the recipients' keys can read them. " +
      "The destination may be the source. Configs (environment, labels, history) stay readable.",
    options: [
      ...([
        ...RECIPIENTS,
        ...SELECT,
        "encrypt-layer",
        "digestfile",
        "skip-base",
        "base",
        "reuse",
        ...KEYS,
      ] as const),
      "redact-history",
      "no-bind",
    ],
    texts: { key: "a private key that opens the image of `--reuse`" },
    needs: [A_RECIPIENT],
    examples: [
      "ocicrypt encrypt oci:app:latest oci:app-enc:latest -r jwe:public.pem",
      "ocicrypt encrypt oci:app oci:app -r jwe:alice.pem -r jwe:bob.jwk",
      "ocicrypt encrypt oci:app oci:app-enc -r jwe:public.pem --layer -1",
      "ocicrypt encrypt oci:app docker://registry.example/app:2 -r jwe:public.pem \\\n" +
        "    --reuse docker://registry.example/app:1 -k private.pem",
    ],
  },
  decrypt: {
    takes: TO,
    usage: "-k <key>...",
    summary: "decrypt the layers of an image",
    description:
      "Decrypts the encrypted layers of an image. Nothing appears at the destination before every " +
      "layer has been verified. The destination may be the source.",
    options: [
      ...KEYS,
      ...SELECT,
      "require-encrypted",
      "require-recipients",
      "require-bound",
      "allow-unverified",
      "digestfile",
      "verify-signature",
      "require-digest",
    ],
    texts: { key: "a private key that opens the image" },
    needs: [A_KEY],
    examples: [
      "ocicrypt decrypt oci:app-enc:latest oci:app:latest -k private.pem",
      "ocicrypt decrypt oci:app-enc oci:app -k private.pem:file=password.txt",
    ],
  },
  inspect: {
    takes: ["image"],
    usage: "[-k <key>...]",
    summary: "show which layers are encrypted, and for whom",
    description:
      "Shows which layers are encrypted and for whom; no key is needed. With keys, also shows " +
      "which key opens which layer, and why the others do not. No layer is read.",
    options: ["recipient", ...KEYS, "config", "verify-signature", "require-digest"],
    texts: {
      recipient: "name the recipient that this public key file belongs to",
      key: "a private key to try",
    },
    isReading: true,
    examples: [
      "ocicrypt inspect oci:app-enc:latest",
      "ocicrypt inspect oci:app-enc:latest -k private.pem --json",
    ],
  },
  "recipients list": {
    takes: ["image"],
    summary: "list the recipients of an image",
    description: "Lists the recipients of each layer, with the ids that `--recipient-id` takes.",
    options: ["recipient", ...SELECT],
    texts: { recipient: "name the recipient that this public key file belongs to" },
    isReading: true,
    examples: [
      "ocicrypt recipients list oci:app-enc:latest",
      "ocicrypt recipients list oci:app-enc:latest -r jwe:public.pem",
    ],
  },
  "recipients add": {
    takes: ["image"],
    ...REWRAP,
    summary: "let more recipients decrypt an image",
    description:
      "Lets more recipients decrypt an image. Only manifests change; no layer is read or written.",
    examples: ["ocicrypt recipients add oci:app-enc:latest -r jwe:bob.pem -k private.pem"],
  },
  "recipients remove": {
    takes: ["image"],
    usage: "-r <recipient>... | --recipient-id <id>... | -k <key>...",
    summary: "remove recipients from an image",
    description:
      "Removes recipients from an image. Only manifests change. Removal does not revoke copies: " +
      "anyone who could decrypt the image may have kept its keys. To change the keys, use `rotate`.",
    options: ["recipient", "recipient-id", ...KEYS, ...SELECT, "digestfile"],
    texts: {
      recipient: "remove the recipient that this public key file belongs to",
      key: "remove the recipient that this private key belongs to",
    },
    needs: [
      {
        options: ["recipient", "recipient-id", ...KEYS],
        what: "a recipient to remove",
        hint: "name one by its public key file (-r), with --recipient-id, as ocicrypt recipients list shows it, or by its private key (-k)",
      },
    ],
    examples: [
      "ocicrypt recipients remove oci:app-enc:latest -r jwe:public.pem",
      "ocicrypt recipients remove oci:app-enc:latest --recipient-id jwe:1",
    ],
  },
  "recipients replace": {
    takes: ["image"],
    ...REWRAP,
    summary: "replace the recipients of an image",
    description:
      "Makes these the only recipients of an image. Only manifests change. Former recipients may " +
      "have kept the keys: to change them, use `rotate`.",
    examples: ["ocicrypt recipients replace oci:app-enc:latest -r jwe:bob.pem -k private.pem"],
  },
  rotate: {
    takes: TO,
    ...REWRAP,
    options: [...REWRAP.options, "no-bind"],
    summary: "encrypt an image again with new keys",
    description:
      "Encrypts the encrypted layers of an image again, with new keys for these recipients. Layers " +
      "are streamed: no plaintext is stored. Copies of the old image are not affected.",
    examples: [
      "ocicrypt rotate oci:app-enc:latest oci:app-new:latest -r jwe:bob.pem -k private.pem",
    ],
  },
  completion: {
    takes: ["shell"],
    summary: "print a completion script for bash, zsh or fish",
    description:
      "Prints a script that completes commands, options and file names in bash, zsh or fish. Load " +
      "it in the start-up file of the shell.",
    options: [],
    isReading: true,
    examples: [
      'eval "$(ocicrypt completion bash)"',
      "ocicrypt completion zsh > ~/.zsh/completions/_ocicrypt",
      "ocicrypt completion fish > ~/.config/fish/completions/ocicrypt.fish",
    ],
  },
};

/** A first word that several commands share. */
export const GROUPS = {
  recipients:
    "Shows and changes the recipients of an image. Only manifests change. To change the keys of the layers, use `rotate`.",
} as const;

/** A topic of help: a command, or all commands that begin with the same word. */
export type HelpTopic = CommandName | keyof typeof GROUPS;
