/** Text of an image or a key on one line, without control characters. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    "\uFFFD",
  );
}

/** JSON without control characters. */
export function jsonText(value: unknown, indent?: number): string {
  const escape = (character: string): string =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value, undefined, indent).replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    escape,
  );
}

/** A number of bytes for people, in binary units. */
export function bytes(count: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  if (count < 1024) return `${String(count)} B`;
  let value = count;
  let unit = "B";
  for (const larger of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = larger;
  }
  return `${value.toFixed(1)} ${unit}`;
}

/** `1 layer`, `2 layers`. */
export function plural(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function isPem(text: string): boolean {
  return text.includes("-----BEGIN ");
}

/** Whether an argument is the content of a key file instead of its name. It may be secret. */
export function isContent(text: string): boolean {
  return isPem(text) || /\n|^(?:[a-z0-9]+:)?\{/.test(text);
}

const LONGEST_WORD = 60;
const DIGESTS = /sha(?:256|512)[:-][0-9a-f]{64,128}/g;

/**
 * Whether a text, or a part of it between colons, may be a key in base64 or hexadecimal. Files with
 * such names have an extension, or are in directories with short names.
 */
export function looksEncoded(text: string): boolean {
  return text.replace(DIGESTS, "").split(":").some(endsEncoded);
}

function endsEncoded(part: string): boolean {
  const run = part.split(/[^\w+/=-]+/).findLast((each) => each !== "") ?? "";
  if (run.length <= LONGEST_WORD) return false;
  // Base64 has slashes too, but long mixed runs between them where a path has words.
  return run.split("/").some((word) => word.length > LONGEST_WORD || isMixed(word));
}

function isMixed(word: string): boolean {
  return word.length > 15 && [/[a-z]/, /[A-Z]/, /\d/].every((kind) => kind.test(word));
}

/** Whether a message must not quote this argument, because it may be a key. */
export function mayBeKey(text: string): boolean {
  return isContent(text) || looksEncoded(text);
}

/** An argument for a message, without its part after a colon, which may be a password. */
export function withoutSecrets(text: string): string {
  return mayBeKey(text) ? "…" : text.replace(/:.+/s, ":…");
}
