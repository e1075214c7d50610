/**
 * Parses a YAML mapping, with each scalar as its source text, as Go reads it into strings; returns
 * `undefined` for anything else. The parser's messages quote the text, which can contain a PIN, and
 * are dropped.
 */
export async function parseYamlMapping(
  text: string,
): Promise<ReadonlyMap<unknown, unknown> | undefined> {
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    value = parse(text, {
      schema: "failsafe",
      mapAsMap: true, // no name in it can reach a prototype
      prettyErrors: false,
      logLevel: "error",
    });
  } catch {
    return undefined;
  }
  return value instanceof Map ? value : undefined;
}
