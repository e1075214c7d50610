import { OPTION_NAMES, OPTIONS, type OptionName } from "./options.js";
import { FILE_COMMANDS } from "./file-commands.js";
import { OTHER_COMMANDS, type CommandForm } from "./other-commands.js";

export type { CommandForm } from "./other-commands.js";

const TO = ["source", "destination"] as const;
const SELECT = ["layer", "platform", "media-type", "min-size", "digest"] as const;
const KEYS = ["key", "decryption-key"] as const;
/** Options of the commands that take many images. */
export const MANY = ["all-tags", "jobs", "shard"] as const;
const RECIPIENTS = [
  "recipient",
  "encryption-key",
  "kid",
  "pgp-key-ring",
  "key-servers",
  "strict",
  "compat",
] as const;

const A_RECIPIENT = {
  options: ["recipient", "encryption-key"],
  what: "a recipient",
  hint: "name a recipient with -r, such as -r jwe:public.pem",
} as const;
const A_KEY = {
  options: KEYS,
  what: "a key",
  hint: "name a key with -k, such as -k private.pem",
} as const;

const REWRAP = {
  usage: "-r <recipient>... -k <key>...",
  options: [...RECIPIENTS, ...KEYS, ...SELECT, "digestfile", ...MANY],
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
  "login",
  "logout",
  "audit",
  "provider",
  "push",
  "pull",
  "keys sync",
  "runtime config",
  "runtime check",
  "ls",
  "cat",
  "export",
  "completion",
] as const;

export type CommandName = (typeof COMMANDS)[number];

export const COMMAND_TABLE: Readonly<Record<CommandName, CommandForm>> = {
  encrypt: {
    takes: TO,
    usage: "-r <recipient>...",
    summary: "encrypt the layers of an image",
    description:
      "Encrypts the layers of an image so that only holders of the recipients' private keys can read " +
      "them. The destination may be the source. The config (environment, labels, history) stays readable.",
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
        ...MANY,
      ] as const),
      "redact-history",
      "no-bind",
      "chunk-size",
      "threads",
      "keep-referrers",
    ],
    texts: { key: "with `--reuse`, a private key that opens the image to reuse" },
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
      "Decrypts the encrypted layers of an image. The destination does not change before every layer " +
      "has been verified. The destination may be the source.",
    options: [
      ...KEYS,
      "key-servers",
      ...SELECT,
      "require-encrypted",
      "require-recipients",
      "require-bound",
      "allow-unverified",
      "digestfile",
      "verify-signature",
      "require-digest",
      "chunk-size",
      "threads",
      "keep-referrers",
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
      "Shows which layers are encrypted, and for whom. Needs no key, and reads no layer. With keys, " +
      "also shows which key opens which layer, and why the other keys do not.",
    options: [
      "recipient",
      ...KEYS,
      "key-servers",
      "check-servers",
      "config",
      "verify-signature",
      "require-digest",
      ...MANY,
    ],
    texts: {
      recipient: "show the name of this public key file next to its recipient",
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
    options: ["recipient", ...SELECT, ...MANY],
    texts: { recipient: "show the name of this public key file next to its recipient" },
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
      "Removes recipients from an image. Only manifests change. Anyone who could decrypt the image " +
      "may have kept the keys of its layers; to give the layers new keys, use `rotate`.",
    options: [
      "recipient",
      "recipient-id",
      ...KEYS,
      "key-servers",
      ...SELECT,
      "digestfile",
      ...MANY,
    ],
    texts: {
      recipient: "remove the recipient that this public key file belongs to",
      key: "remove the recipient that this private key belongs to",
    },
    needs: [
      {
        options: ["recipient", "recipient-id", ...KEYS],
        what: "a recipient to remove",
        hint: "name its public key file with -r, its private key with -k, or its id with --recipient-id",
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
      "have kept the keys of its layers; to give the layers new keys, use `rotate`.",
    examples: ["ocicrypt recipients replace oci:app-enc:latest -r jwe:bob.pem -k private.pem"],
  },
  rotate: {
    takes: TO,
    ...REWRAP,
    options: [...REWRAP.options, "no-bind", "chunk-size", "threads"],
    summary: "encrypt an image again with new keys",
    description:
      "Gives the encrypted layers of an image new keys, and encrypts them for these recipients. " +
      "Layers are streamed: no plaintext is stored. Copies of the old image stay as they are.",
    examples: [
      "ocicrypt rotate oci:app-enc:latest oci:app-new:latest -r jwe:bob.pem -k private.pem",
    ],
  },
  ...OTHER_COMMANDS,
  ...FILE_COMMANDS,
};

/** A first word that several commands share. */
export const GROUPS = {
  recipients:
    "Lists and changes the recipients of an image. Only manifests change. A removed recipient may have kept the keys of the layers; to give them new keys, use `rotate`.",
  keys: "Copies keys to the node that needs them.",
  runtime:
    "Prints and checks the configuration of container runtimes that decrypt images. Nothing is changed or started.",
} as const;

/** Whether a word is the first one of several commands. */
export function isGroup(word: string): word is keyof typeof GROUPS {
  return Object.hasOwn(GROUPS, word);
}

/** A topic of help: a command, or all commands that begin with the same word. */
export type HelpTopic = CommandName | keyof typeof GROUPS;

/** The other names of an option. */
export function aliasesOf(name: OptionName): OptionName[] {
  return OPTION_NAMES.filter((other) => OPTIONS[other].alias === name);
}

/** The options that every command has. */
export const EVERYWHERE: readonly OptionName[] = [
  ...(["plain-http", "ca-file", "authfile", "creds-stdin"] as const),
  ...(["debug", "json", "quiet", "help"] as const),
];
