/** All that an error tells, with its causes. */
export function wholeText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.message}\n${error.stack ?? ""}\n${wholeText(error.cause)}`;
}
