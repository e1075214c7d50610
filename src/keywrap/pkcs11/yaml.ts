/**
 * A YAML mapping in which each scalar is the text that stands there, as Go reads it into strings;
 * `undefined` for anything else. The parser's messages quote the text, which can hold a PIN, so
 * none is passed on.
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
