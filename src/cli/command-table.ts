export const COMMANDS = [
  "encrypt",
  "decrypt",
  "inspect",
  "recipients list",
  "recipients add",
  "recipients remove",
  "recipients replace",
  "rotate",
] as const;

export type CommandName = (typeof COMMANDS)[number];

/** What there is help for: a command, or several that begin with the same word. */
export type HelpTopic = CommandName | "recipients";

/** What one command takes. */
export interface CommandForm {
  /** The names of its images, in their order. */
  images: readonly string[];
  options: readonly string[];
  /** Whether it writes nothing. */
  isReading?: true;
  /** Of each of these, one option is needed; what to say without any. */
  needs?: readonly { options: readonly string[]; what: string; hint: string }[];
}

const TO = ["source", "destination"];
const SELECT = ["layer", "platform", "media-type", "min-size", "digest"];
const RECIPIENTS = ["recipient", "encryption-key", "pgp-key-ring", "strict", "compat"];
const KEYS = ["key", "decryption-key"];

const A_RECIPIENT = {
  options: ["recipient", "encryption-key"],
  what: "a recipient",
  hint: "name one with -r, such as -r jwe:public.pem",
};
const A_KEY = { options: KEYS, what: "a key", hint: "name one with -k, such as -k private.pem" };

/** Options of every command. */
export const EVERYWHERE: readonly string[] = [
  ...["plain-http", "ca-file", "json", "quiet", "help", "version"],
];

export const COMMAND_TABLE: Record<CommandName, CommandForm> = {
  encrypt: {
    images: TO,
    options: [
      ...RECIPIENTS,
      ...SELECT,
      ...["encrypt-layer", "skip-base", "base", "reuse", ...KEYS, "redact-history"],
    ],
    needs: [A_RECIPIENT],
  },
  decrypt: {
    images: TO,
    options: [...KEYS, ...SELECT, "require-encrypted", "require-recipients"],
    needs: [A_KEY],
  },
  inspect: { images: ["image"], options: [...KEYS, "config"], isReading: true },
  "recipients list": { images: ["image"], options: SELECT, isReading: true },
  "recipients add": {
    images: ["image"],
    options: [...RECIPIENTS, ...KEYS, ...SELECT],
    needs: [A_RECIPIENT, A_KEY],
  },
  "recipients remove": {
    images: ["image"],
    options: ["recipient-id", ...KEYS, ...SELECT],
    needs: [
      {
        options: ["recipient-id", ...KEYS],
        what: "somebody to remove",
        hint: "ocicrypt recipients list shows the ids for --recipient-id; a key of theirs (-k) will do",
      },
    ],
  },
  "recipients replace": {
    images: ["image"],
    options: [...RECIPIENTS, ...KEYS, ...SELECT],
    needs: [A_RECIPIENT, A_KEY],
  },
  rotate: { images: TO, options: [...RECIPIENTS, ...KEYS, ...SELECT], needs: [A_RECIPIENT, A_KEY] },
};
