/** Text of an image or a key on one line, without what a terminal would obey. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    "\uFFFD",
  );
}

/** JSON with nothing in it that a terminal would obey. */
export function jsonText(value: unknown, indent?: number): string {
  const escape = (character: string): string =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value, undefined, indent).replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    escape,
  );
}

/** A number of bytes for people. */
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
