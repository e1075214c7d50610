const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ""}`;
}

/** The beginning of a digest, enough to tell it from others. */
export function shortDigest(digest: string): string {
  return digest.length > 23 ? `${digest.slice(0, 19)}…` : digest;
}

/** `1 layer`, `2 layers`. */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** The permissions of a file, as `ls` writes them. */
export function formatMode(mode: number): string {
  const bits = [mode >> 6, mode >> 3, mode];
  return bits
    .map((bit) => `${bit & 4 ? "r" : "-"}${bit & 2 ? "w" : "-"}${bit & 1 ? "x" : "-"}`)
    .join("");
}
