export function reportInterface(options: {
  write: boolean;
}): Map<string, { report: string; isStale: boolean }>;
export function fileOf(subpath: string): string;
