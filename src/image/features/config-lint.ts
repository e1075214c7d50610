import { shown } from "../../errors.js";
import { parseConfig } from "../manifests/image-config.js";

/** The information that an image's config reveals to every reader, without values. */
export interface ConfigReport {
  /** Names of environment variables. */
  env: string[];
  /** Names of labels. */
  labels: string[];
  /** The number of entries in the history. */
  history: number;
  /** Likely secrets. */
  findings: ConfigFinding[];
}

/** Something in a config that looks like a secret. */
export interface ConfigFinding {
  where: "env" | "label" | "history";
  /** The name of the variable, label or build argument; absent if the secret is in other text. */
  name?: string;
  /** The position of the entry in the history, from 0. */
  index?: number;
  kind: SecretKind;
}

/**
 * The reason: `secret-name` if only the name suggests a secret, `random-value` if the value also
 * looks like a key.
 */
export type SecretKind = "secret-name" | "random-value" | ValueKind;

type ValueKind =
  | "private-key"
  | "aws-access-key-id"
  | "github-token"
  | "gitlab-token"
  | "slack-token"
  | "npm-token"
  | "jwt"
  | "basic-auth-url";

/** Each expression looks ahead a limited distance, because the text may come from an attacker. */
const VALUES: readonly (readonly [ValueKind, RegExp])[] = [
  ["private-key", /-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY/],
  ["aws-access-key-id", /(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])/],
  ["github-token", /(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{36})/],
  ["gitlab-token", /(?<![A-Za-z0-9])glpat-[\w-]{20}/],
  ["slack-token", /(?<![A-Za-z0-9])xox[abeoprs]-[\w-]{10}/],
  ["npm-token", /(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}/],
  ["jwt", /(?<![\w-])eyJ[\w-]{8,8000}\.eyJ[\w-]{2,8000}\./],
  [
    "basic-auth-url",
    /(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,20}:\/\/[^\s/:@]{0,200}:(?!\$)[^\s/@]{1,200}@/i,
  ],
];

const SECRET_NAME = new RegExp(
  [
    "passw(?:or)?d|passphrase|secret|credential|tokens?(?!iz)",
    "(?:^|[-_.])pass$",
    "[a-z0-9][-_.]?pwd(?![a-z])",
    "(?:access|account|api|auth|encryption|master|private|signing|ssh)[-_.]?key(?!(?!s)[a-z])",
  ].join("|"),
  "i",
);
/** The names of values that accompany a secret but are not secret. */
const BESIDE = /[-_.](?:dir|enabled|expir\w*|file|length|name|path|ttl|type|ur[il])$/i;
const NO_SECRET = /^(?:|true|false|yes|no|on|off|none|null|\$\{?\w+\}?)$/i;
const RANDOM = /^(?=.*\d)(?:[0-9a-f]{32,}|[A-Za-z0-9+/_-]{20,}={0,2})$/i;

const KINDS: Readonly<Record<SecretKind, string>> = {
  "secret-name": "has the name of a secret",
  "random-value": "has the name of a secret and a value like a key",
  "private-key": "holds a private key",
  "aws-access-key-id": "holds an AWS access key",
  "github-token": "holds a GitHub token",
  "gitlab-token": "holds a GitLab token",
  "slack-token": "holds a Slack token",
  "npm-token": "holds an npm token",
  jwt: "holds a JSON Web Token",
  "basic-auth-url": "holds a URL with a password",
};

/**
 * Reports what a config reveals, because encryption leaves it readable, and which values look like
 * secrets. This is a guess from their names and forms.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID` if the config is not a JSON object
 */
export function lintConfig(config: Uint8Array): ConfigReport {
  const value = parseConfig(config);
  const { Env: env, Labels: labels } = objectOf(value.config);
  const variables = textsOf(env).map(splitPair);
  const labelPairs = Object.entries(objectOf(labels)).map(([name, text]): Pair => [
    name,
    typeof text === "string" ? text : "",
  ]);
  const history = Array.isArray(value.history) ? (value.history as unknown[]) : [];
  return {
    env: variables.map(([name]) => shownName(name)),
    labels: labelPairs.map(([name]) => shownName(name)),
    history: history.length,
    findings: [
      ...variables.flatMap((pair) => lintPair("env", pair)),
      ...labelPairs.flatMap((pair) => lintPair("label", pair)),
      ...history.flatMap((entry, index) => {
        const { created_by: createdBy, comment } = objectOf(entry);
        return lintHistory(textsOf([createdBy, comment]), index);
      }),
    ],
  };
}

/** Describes a finding in words. */
export function formatFinding({ where, name, index, kind }: ConfigFinding): string {
  const entry = index === undefined ? "" : ` ${String(index)}`;
  const named = name === undefined ? "" : ` ${shown(name)}`;
  const what = { env: "environment variable", label: "label", history: "history entry" }[where];
  return `${what}${entry}${named} ${KINDS[kind]}`;
}

type Pair = readonly [name: string, value: string];

function lintPair(where: ConfigFinding["where"], [name, value]: Pair): ConfigFinding[] {
  const kind = kindOfValue(`${name}=${value}`) ?? kindOfName(name, value);
  return kind === undefined ? [] : [{ where, name: shownName(name), kind }];
}

/** Finds secrets in the build arguments and variables of an entry, then anywhere in its text. */
function lintHistory(texts: readonly string[], index: number): ConfigFinding[] {
  const found = new Map<string, ConfigFinding>();
  for (const text of texts) {
    const pairs = assignments(text).flatMap((pair) => lintPair("history", pair));
    const kinds = pairs.map(({ kind }) => kind);
    const others = VALUES.filter(([kind, pattern]) => !kinds.includes(kind) && pattern.test(text));
    const rest = others.map(([kind]): ConfigFinding => ({ where: "history", kind }));
    for (const finding of [...pairs, ...rest]) {
      found.set(JSON.stringify([finding.name, finding.kind]), { ...finding, index });
    }
  }
  return [...found.values()];
}

/**
 * Returns the assignments in a build step: `ENV A=b`, `ARG A=b`, and the build arguments of a
 * `RUN`, written as `|2 A=b C=d /bin/sh -c …` before its command. The older builder writes `/bin/sh
 * -c #(nop) ENV A=b`.
 */
function assignments(text: string): Pair[] {
  const step = text.replace(/^\/bin\/sh -c #\(nop\)/, "").trimStart();
  const [, count, rest] = /^(?:RUN )?\|(\d{1,3}) ([^]*)$/.exec(step) ?? [];
  const words = /(?<![\w.-])([A-Za-z_][\w.-]{0,200})=("[^"]*"|'[^']*'|\S*)/g;
  const isEnvironment = /^(?:ENV|ARG)\s/i.test(step);
  if (!isEnvironment && rest === undefined) return [];
  const pairs = [...(rest ?? step).matchAll(words)].map(([, name = "", value = ""]): Pair => [
    name,
    value.replace(/^(["'])(.*)\1$/s, "$2"),
  ]);
  return rest === undefined ? pairs : pairs.slice(0, Number(count));
}

function kindOfValue(text: string): ValueKind | undefined {
  return VALUES.find(([, pattern]) => pattern.test(text))?.[0];
}

function kindOfName(wholeName: string, value: string): SecretKind | undefined {
  const name = wholeName.slice(0, 200);
  if (!SECRET_NAME.test(name) || BESIDE.test(name) || name === "OLDPWD") return undefined;
  if (NO_SECRET.test(value)) return undefined;
  return RANDOM.test(value) ? "random-value" : "secret-name";
}

/**
 * Splits a variable. Without `=`, all of it is the name, but a value in it must still not be shown.
 */
function splitPair(text: string): Pair {
  const end = text.indexOf("=");
  return end < 0 ? [text, ""] : [text.slice(0, end), text.slice(end + 1)];
}

function shownName(name: string): string {
  if (kindOfValue(name) !== undefined) return "(withheld)";
  return name.length > 100 ? `${name.slice(0, 99)}…` : name;
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((text) => typeof text === "string") : [];
}
