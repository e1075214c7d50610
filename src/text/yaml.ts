import type { DocumentOptions, ParseOptions, SchemaOptions, ToJSOptions } from "yaml";

/**
 * The most tokens and escapes of a YAML document; a Kubernetes Secret of a hundred entries has about a thousand.
 * The parser compares each name of a mapping with all others, so a mapping of 100,000 names would
 * take minutes, in which nothing else runs.
 */
export const MAX_YAML_TOKENS = 10_000;

type Options = ParseOptions & DocumentOptions & SchemaOptions & ToJSOptions;

/**
 * Parses one YAML document. JSON is YAML too. Aliases are rejected by default, because they would let a
 * small document grow.
 *
 * @param options the options of the package `yaml`
 * @throws {Error} if it is malformed or too long; the message can quote the text
 */
export async function parseYaml(text: string, options: Options = {}): Promise<unknown> {
  const { Lexer, parse } = await import("yaml");
  let count = 0;
  for (const token of new Lexer().lex(text)) {
    // Each wrong escape makes an error, which takes as long as a token.
    count += token.startsWith('"') ? token.split("\\").length : 1;
    if (count > MAX_YAML_TOKENS) throw new RangeError("the YAML has too many tokens");
  }
  // With prettyErrors, each error would search the text for its line again.
  return parse(text, { maxAliasCount: 0, prettyErrors: false, logLevel: "error", ...options });
}
