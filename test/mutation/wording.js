import { declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin";

/** Words with a space between them, on one line: nothing that is parsed, hashed or compared has that form. */
const WORDING = /\w[^\n]* [^\n]*\w/;

/** The parts of a literal without the expressions in it. */
function textOf(node) {
  if (node.type === "StringLiteral") return node.value;
  if (node.type === "TemplateLiteral") return node.quasis.map(({ value }) => value.raw).join("x");
  return "";
}

/** Leaves out mutants that only change the wording of a message, because tests compare codes. */
export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, "wording", {
    shouldIgnore({ node }) {
      return WORDING.test(textOf(node)) ? "the wording of a message" : undefined;
    },
  }),
];
