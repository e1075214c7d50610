/** How much of what another program says is passed on, in characters. */
const MAX_LENGTH = 1000;

/**
 * Untrusted text on one line, safe for a terminal: without control, format and private-use
 * characters, which could hide or rewrite the text around it.
 */
export function printable(text: string, maxLength: number = MAX_LENGTH): string {
  // Cut first: what comes in may be of any length.
  const line = text.slice(0, 4 * maxLength).replace(/[\p{C}\p{Z}]+/gu, " ");
  const trimmed = line.trim();
  return trimmed.length <= maxLength ? trimmed : `${trimmed.slice(0, maxLength)}…`;
}

/** The message of an error, safe for a terminal. */
export function reasonOf(error: unknown): string {
  return printable(error instanceof Error ? error.message : "unknown reason");
}
