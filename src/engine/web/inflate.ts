import type { InflateEngine } from "../content-types.js";

/** Browsers have no zstd. */
export const canInflate: InflateEngine["canInflate"] = (format) => format === "gzip";

/**
 * Not DecompressionStream: in Chromium it fails on files with several members, as eStargz and pigz
 * write them.
 */
export const inflate: InflateEngine["inflate"] = async function* (content, _format, damaged) {
  const { gunzip } = await import("./gunzip.js");
  yield* gunzip(content, damaged);
};
