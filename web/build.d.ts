import type { Metafile } from "esbuild";

/** Builds the page into a directory. */
export function buildPage(directory?: string): Promise<{ directory: string; metafile: Metafile }>;
