export function isPem(text: string): boolean {
  return text.includes("-----BEGIN ");
}

/** Whether somebody gives what is in a key's file in place of its name. It may be secret. */
export function isContent(text: string): boolean {
  return isPem(text) || /\n|^(?:[a-z0-9]+:)?\{/.test(text);
}

const LONGEST_WORD = 60;
const DIGESTS = /sha(?:256|512)[:-][0-9a-f]{64,128}/g;

/**
 * Whether a text, or a part of it between colons, may be a key in base64 or in hexadecimal digits.
 * Files with such names have an extension, or are in directories with short ones.
 */
export function looksEncoded(text: string): boolean {
  return text.replace(DIGESTS, "").split(":").some(endsEncoded);
}

function endsEncoded(part: string): boolean {
  const run = part.split(/[^\w+/=-]+/).findLast((each) => each !== "") ?? "";
  if (run.length <= LONGEST_WORD) return false;
  // Base64 has slashes too, and what is between them is long and mixed where a path has words.
  return run.split("/").some((word) => word.length > LONGEST_WORD || isMixed(word));
}

function isMixed(word: string): boolean {
  return word.length > 15 && [/[a-z]/, /[A-Z]/, /\d/].every((kind) => kind.test(word));
}

/** Whether no message may hold a text of the command line as a whole. */
export function mayBeKey(text: string): boolean {
  return isContent(text) || looksEncoded(text);
}

/** A word of the command line for a message: what is behind a colon may be a password. */
export function withoutSecrets(text: string): string {
  return mayBeKey(text) ? "…" : text.replace(/:.+/s, ":…");
}
