import { isOcicryptError, type ErrorCode, type OcicryptError } from "../errors.js";
import {
  CONTENT,
  FILE,
  LAYER,
  PLACE,
  REQUEST,
  WRAPPED_KEY,
  type ErrorTexts,
} from "./error-texts-image.js";
import { KEY, KEY_SERVER, PROVIDER, REGISTRY, RUNTIME, TOKEN } from "./error-texts-key.js";

/** The codes as `docs/errors.md` groups them. */
export const ERROR_SECTIONS: readonly { title: string; texts: Partial<ErrorTexts<ErrorCode>> }[] = [
  { title: "Requests that do not fit the image", texts: REQUEST },
  { title: "Layers", texts: LAYER },
  { title: "Wrapped keys", texts: WRAPPED_KEY },
  { title: "Keys", texts: KEY },
  { title: "Registries", texts: REGISTRY },
  { title: "Key providers and optional packages", texts: PROVIDER },
  { title: "Key servers", texts: KEY_SERVER },
  { title: "PKCS#11 tokens", texts: TOKEN },
  { title: "Content", texts: CONTENT },
  { title: "Images and their places", texts: PLACE },
  { title: "Files in images", texts: FILE },
  { title: "Container runtimes", texts: RUNTIME },
];

/** The texts of every code; a missing code does not compile. */
export const ERROR_TEXTS: ErrorTexts<ErrorCode> = {
  ...{ ...REQUEST, ...LAYER, ...WRAPPED_KEY, ...KEY, ...REGISTRY, ...PROVIDER, ...TOKEN },
  ...{ ...KEY_SERVER, ...CONTENT, ...PLACE, ...FILE, ...RUNTIME },
};

/** Better hints for errors that only their words distinguish from others with the same code. */
export const SPECIAL_HINTS: readonly { code: ErrorCode; words: string; hint: string }[] = [
  {
    code: "REGISTRY_UNREACHABLE",
    words: "it does not speak TLS",
    hint: "check the port; for a registry without TLS use `--plain-http`, which does not protect the traffic",
  },
  {
    code: "REFERENCE_INVALID",
    words: "credentials do not go into the name of an image",
    hint: "run `ocicrypt login HOST`, then write docker://HOST/REPOSITORY:TAG",
  },
  {
    code: "KEY_IS_PRIVATE",
    words: "age identity",
    hint: "extract the public key: `age-keygen -y FILE`",
  },
  {
    code: "KEY_UNRECOGNIZED",
    words: "is not an age recipient",
    hint: "copy the whole key again: one wrong character makes it invalid",
  },
  {
    code: "KEY_UNSUPPORTED",
    words: "the OpenPGP key",
    hint: "name an OpenPGP key with an encryption key of at least 2048 bits; `gpg --list-keys NAME` marks it with [E]",
  },
  {
    code: "BLOB_NOT_FOUND",
    words: "select the platforms that it holds",
    hint: "get the whole image, or name a platform with all its blobs: `--platform OS/ARCH`; `ocicrypt inspect` lists the platforms",
  },
  {
    code: "BLOB_NOT_FOUND",
    words: "was answered 404",
    hint: "push the image again: the registry has lost a part of it, or a proxy repository has not fetched that part",
  },
  {
    code: "REGISTRY_FAILED",
    words: "names manifests that the source does not hold",
    hint: "name one manifest as the source, by the digest that `ocicrypt inspect` shows, such as oci:DIR@sha256:…",
  },
  {
    code: "NOTHING_SELECTED",
    words: "no manifest for the platform",
    hint: "run `ocicrypt inspect` to see the platforms; if it shows none, omit `--platform`",
  },
  {
    code: "DESTINATION_FULL",
    words: "a copy of",
    hint: "free some space, or set `TMPDIR` to a directory with more space",
  },
  {
    code: "DESTINATION_UNWRITABLE",
    words: "a copy of",
    hint: "set `TMPDIR` to a directory in which you can create files",
  },
];

/** The transports that skopeo supports and this library does not. */
const TRANSPORT = /it names (sif|tarball)\b/;

/** Returns the hint for an error, as it is printed on a terminal. */
export function hintFor({ code, message }: OcicryptError): string {
  const transport = TRANSPORT.exec(message)?.[1];
  if (code === "REFERENCE_INVALID" && transport !== undefined) {
    return `copy the image to a layout first: skopeo copy ${transport}:IMAGE oci:DIR:TAG`;
  }
  const special = SPECIAL_HINTS.find((each) => each.code === code && message.includes(each.words));
  return withoutMarks(special?.hint ?? ERROR_TEXTS[code].hint);
}

/** Removes the backticks that mark code on a page. */
export function withoutMarks(text: string): string {
  return text.replaceAll("`", "");
}

/** An error in the arguments, with exit status 2 and a hint that says what to type instead. */
export class UsageError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** Thrown for Ctrl-C at a question, where it sends no signal. */
export class Interrupted extends Error {}

/**
 * Returns the candidate that was probably meant: at most two typing mistakes away, or the only
 * candidate that starts with the word.
 */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const letters = Array.from(word).sort().join("");
  const isSwap = ({ candidate }: { candidate: string }): boolean =>
    Array.from(candidate).sort().join("") === letters;
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .sort((a, b) => a.distance - b.distance || Number(isSwap(b)) - Number(isSwap(a)));
  if (ranked[0] !== undefined && ranked[0].distance <= 2) return ranked[0].candidate;
  const [longer, ...others] = candidates.filter((candidate) => candidate.startsWith(word));
  return word.length > 1 && others.length === 0 ? longer : undefined;
}

/** Returns the Levenshtein distance, computed row by row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** Exit statuses of the command. */
export const STATUS = {
  done: 0,
  failed: 1,
  usage: 2,
  noKey: 3,
  notVerified: 4,
  finding: 5,
} as const;

const BY_CODE: Partial<Record<ErrorCode, number>> = {
  REFERENCE_INVALID: STATUS.usage,
  NO_KEYS: STATUS.noKey,
  NO_MATCHING_KEY: STATUS.noKey,
  HMAC_MISMATCH: STATUS.notVerified,
  BLOB_SIZE_MISMATCH: STATUS.notVerified,
  BLOB_DIGEST_MISMATCH: STATUS.notVerified,
  DIFF_ID_MISMATCH: STATUS.notVerified,
  DIFF_ID_UNCHECKED: STATUS.notVerified,
  BINDING_MISMATCH: STATUS.notVerified,
  SIGNATURE_MISSING: STATUS.notVerified,
  SIGNATURE_INVALID: STATUS.notVerified,
};

/** Returns the exit status for an error code; 1 unless the code has its own status. */
export function statusOf(code: ErrorCode): number {
  return BY_CODE[code] ?? STATUS.failed;
}

/** A failure, as the command reports it. */
export interface Failure {
  status: number;
  code: string;
  message: string;
  hint?: string;
}

export function describeFailure(error: unknown): Failure {
  if (error instanceof UsageError) {
    const { message, hint } = error;
    return { status: STATUS.usage, code: "USAGE", message, ...(hint !== undefined && { hint }) };
  }
  if (isOcicryptError(error)) {
    const { code, message } = error;
    return { status: statusOf(code), code, message, hint: hintFor(error) };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { status: STATUS.failed, code: "UNEXPECTED", message };
}
