/** What a command prints: as text, and as an object for `--json`. */
export interface CommandResult {
  text: string;
  json: unknown;
  warnings: string[];
}
