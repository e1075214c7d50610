/** The most characters of another program's output that a message quotes. */
const MAX_LENGTH = 1000;

/**
 * Returns untrusted text on one line that is safe for a terminal: without control, format and
 * private-use characters, which could hide or rewrite other text.
 */
export function printable(text: string, maxLength: number = MAX_LENGTH): string {
  // Cut first, because the text may have any length.
  const line = text.slice(0, 4 * maxLength).replace(/[\p{C}\p{Z}]+/gu, " ");
  const trimmed = line.trim();
  return trimmed.length <= maxLength ? trimmed : `${trimmed.slice(0, maxLength)}…`;
}

/** Returns the message of an error, safe for a terminal. */
export function reasonOf(error: unknown): string {
  return printable(error instanceof Error ? error.message : "unknown reason");
}
