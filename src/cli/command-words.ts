import { KEY_SERVER_NAMES } from "../keyserver/index.js";
import { RUNTIMES } from "../runtime/runtimes.js";
import { COMMANDS, GROUPS, isGroup, type CommandName } from "./command-table.js";
import { closest, UsageError } from "./errors.js";
import { OPTIONS, type Completion } from "./options.js";
import { withoutSecrets } from "./text.js";

/** The command of a line that may have mistakes, for hints. */
export function commandOf([first = "", second = ""]: readonly string[]): CommandName | undefined {
  return COMMANDS.find((name) => name === first || name === `${first} ${second}`);
}

/**
 * Splits the words of a command line into the command and its arguments.
 *
 * @throws {UsageError}
 */
export function splitCommand(words: readonly string[]): {
  command: CommandName | undefined;
  images: string[];
} {
  const [first, second, ...rest] = words;
  if (first === undefined) return { command: undefined, images: [] };
  if (!isGroup(first)) return { command: requireCommand(first), images: words.slice(1) };
  if (second === undefined) throw new UsageError(`${first} needs an action`, actionsHint(first));
  return { command: requireCommand(`${first} ${second}`), images: rest };
}

/** Returns the second words of a group, such as `list` and `add` of `recipients`. */
export function actionsOf(group: string): string[] {
  return COMMANDS.filter((command) => command.startsWith(`${group} `)).map((command) =>
    command.slice(group.length + 1),
  );
}

function actionsHint(group: string): string {
  const actions = actionsOf(group);
  const last = actions.pop() ?? "";
  return `write ocicrypt ${group} ${actions.length === 0 ? last : `${actions.join(", ")} or ${last}`}`;
}

function requireCommand(name: string): CommandName {
  const command = COMMANDS.find((candidate) => candidate === name);
  if (command !== undefined) return command;
  throw new UsageError(`there is no command ${withoutSecrets(name)}`, commandHint(name));
}

function commandHint(name: string): string {
  if (Object.hasOwn(OPTIONS, name)) return `did you mean --${name}?`;
  if (name === "copy") return "use ocicrypt encrypt or ocicrypt decrypt, which copy the image too";
  const groups = Object.keys(GROUPS);
  const similar =
    COMMANDS.find((command) =>
      groups.some((group) => command === `${group} ${name}` || `${group} ${command}` === name),
    ) ?? closest(name, [...COMMANDS, ...groups]);
  if (similar !== undefined) return `did you mean ${similar}?`;
  const group = name.split(" ", 1)[0] ?? "";
  return isGroup(group) ? actionsHint(group) : `the commands are ${COMMANDS.join(", ")}`;
}

export const SHELLS = ["bash", "zsh", "fish"] as const;

/** Returns how an argument of a command is completed. */
export function argumentCompletion(name: string | undefined): Completion | undefined {
  if (name === undefined || name === "registry" || name.includes("path")) return undefined;
  const words = { shell: SHELLS, name: KEY_SERVER_NAMES, runtime: RUNTIMES };
  const bare = name.replace(/^\[|\]$/g, "") as keyof typeof words;
  if (Object.hasOwn(words, bare)) return words[bare];
  return name.startsWith("file") ? "file" : "image";
}

/** Hints for options of skopeo, podman, docker and ctr that do not exist here. */
const LOGIN = "log in first: ocicrypt login HOST; or pass USER:PASSWORD with --creds-stdin";
const TLS =
  "use --plain-http for a registry without TLS, or --ca-file FILE to trust its certificate";
const ALL = "omit it: all platforms are included; --platform selects some of them";
const CERTIFICATES = "use --ca-file FILE with the certificates in PEM";
const POLICY = "use --verify-signature FILE to require a cosign signature";
const SIGNING = "sign the encrypted image afterwards, because it has a new digest";
const PLATFORM = "use --platform OS/ARCH";
const KEPT = "omit it: the format and compression of the image are kept";
const NO_LOGIN = "omit it: a registry that needs no login gets no credentials";
const DAEMON = "set the environment variable DOCKER_HOST";
const SHARED = "copy the image to a layout of its own first, with skopeo copy";
const RETRIES = "omit it: failed requests are retried";

const HINTS: Readonly<Record<string, string>> = {
  ...{ creds: LOGIN, "src-creds": LOGIN, "dest-creds": LOGIN, username: LOGIN, password: LOGIN },
  ...{ "src-username": LOGIN, "src-password": LOGIN, "dest-username": LOGIN },
  ...{ "dest-password": LOGIN, "src-registry-token": LOGIN, "dest-registry-token": LOGIN },
  ...{
    user: LOGIN,
    u: LOGIN,
  },
  "src-authfile": "use --authfile FILE for both images",
  "dest-authfile": "use --authfile FILE for both images",
  ...{ "tls-verify": TLS, "src-tls-verify": TLS, "dest-tls-verify": TLS, insecure: TLS },
  ...{ "skip-verify": TLS, "insecure-registry": TLS },
  ...{ "cert-dir": CERTIFICATES, "src-cert-dir": CERTIFICATES, "dest-cert-dir": CERTIFICATES },
  ...{ cacert: CERTIFICATES, tlscacert: CERTIFICATES },
  ...{ all: ALL, a: ALL, "all-platforms": ALL, "multi-arch": ALL },
  ...{ "override-os": PLATFORM, "override-arch": PLATFORM, "override-variant": PLATFORM },
  ...{ os: PLATFORM, arch: PLATFORM },
  ...{ policy: POLICY, "registries.d": POLICY },
  "insecure-policy": "omit it: signatures are checked only with --verify-signature",
  ...{ "registries-conf": "omit it, and write the whole name of the registry" },
  ...{ "sign-by": SIGNING, "sign-by-sigstore": SIGNING, "sign-identity": SIGNING },
  "remove-signatures": "omit it: signatures of the former digest are not copied",
  ...{ format: KEPT, "dest-compress": KEPT, "dest-decompress": KEPT, "preserve-digests": KEPT },
  ...{
    "dest-compress-format": KEPT,
    "dest-compress-level": KEPT,
    "dest-oci-accept-uncompressed-layers": KEPT,
  },
  ...{ "retry-times": RETRIES, "retry-delay": RETRIES, retry: RETRIES },
  "command-timeout": "omit it, or run the command under timeout(1)",
  "additional-tag": "encrypt once, then add the tag with skopeo copy",
  raw: "use ocicrypt inspect --json, or skopeo inspect --raw",
  recipients: "use -r for each recipient",
  "gpg-homedir": "set the environment variable GNUPGHOME, or use --pgp-key-ring FILE",
  "dec-recipient": "omit it; name a certificate that belongs to a key with another -k",
  output: "name the destination as the second image",
  o: "name the destination as the second image",
  "dry-run": "use ocicrypt inspect, which writes nothing",
  verbose: "use --debug",
  "log-level": "use --debug",
  ...{ "src-no-creds": NO_LOGIN, "dest-no-creds": NO_LOGIN, "no-creds": NO_LOGIN },
  tmpdir: "set the environment variable TMPDIR",
  ...{ "src-daemon-host": DAEMON, "dest-daemon-host": DAEMON },
  ...{ "src-shared-blob-dir": SHARED, "dest-shared-blob-dir": SHARED },
  ...{ "image-parallel-copies": "use --jobs for many images", "encrypt-key": "use -r" },
  force: "omit it: an image of the same name is replaced",
  v: "use --debug, or --version for the version",
};

/** Returns the hint for an option of another tool, by its name without dashes. */
export function foreignHint(name: string): string | undefined {
  return Object.hasOwn(HINTS, name) ? HINTS[name] : undefined;
}

/** An own option, or else an option of another tool. A short name is similar to too many. */
export function similarOption(name: string, options: readonly string[]): string | undefined {
  const foreign = closest(
    name,
    Object.keys(HINTS).filter((each) => isLikely(name, each)),
  );
  const own = closest(name, options);
  if (own === undefined || foreign === undefined) return own ?? foreign;
  return closest(name, foreign.startsWith(name) ? [foreign] : [own, foreign]);
}

function isLikely(name: string, option: string): boolean {
  return option.length > 2 && (name.length > 5 || option.startsWith(name));
}
