import { applyEdits, locate, removeMembers, type JsonNode } from "../spec/json-text.js";
import { parseJson } from "../spec/manifest.js";

/** In lower case, as Go reads the names of members in any. */
const REDACTED = ["created_by", "comment"];

/**
 * A config whose history does not tell how the image was built: every entry stays, as readers
 * count them, without `created_by` and `comment`. All other bytes stay too.
 *
 * @returns `undefined` when there is nothing to remove
 * @throws {@link OcicryptError} `MANIFEST_INVALID`
 */
export function redactHistory(config: Uint8Array): Uint8Array | undefined {
  const { text } = parseJson(config, "the image's config");
  const edits = membersCalled(locate(text), "history")
    .flatMap(({ items = [] }) => items)
    .flatMap((entry) => removeMembers(entry, (name) => REDACTED.includes(name.toLowerCase())));
  return edits.length === 0 ? undefined : Buffer.from(applyEdits(text, edits), "utf8");
}

function membersCalled({ members = [] }: JsonNode, wanted: string): JsonNode[] {
  return members.flatMap(({ name, value }) => (name.toLowerCase() === wanted ? [value] : []));
}
