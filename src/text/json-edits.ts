import { OcicryptError } from "../errors.js";
import { MAP, parseWithPlaces, type JsonNode } from "./json.js";

/** One change of a text; an insertion where `start` is `end`. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/**
 * The places of all values of a text that {@link parseJson} has accepted, with a shape or without,
 * so that one member can be changed and every other byte of the document stays: a manifest's digest
 * is over its bytes.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID` for any other text
 */
export function locate(text: string): JsonNode {
  return parseWithPlaces(text, { shape: MAP, maxSize: text.length, refuse: invalid }).root;
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("MANIFEST_INVALID", `a JSON document cannot be used: ${why}`);
}

/** The value of an object's member. */
export function member(node: JsonNode | undefined, name: string): JsonNode | undefined {
  return node?.members?.find((candidate) => candidate.name === name)?.value;
}

/** The text with all edits made; they must not overlap. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = "";
  let position = 0;
  for (const { start, end, text: replacement } of [...edits].sort((a, b) => a.start - b.start)) {
    result += text.slice(position, start) + replacement;
    position = end;
  }
  return result + text.slice(position);
}

/** Puts members behind the last one of an object. */
export function insertMembers(
  node: JsonNode,
  added: readonly (readonly [string, unknown])[],
): Edit[] {
  if (added.length === 0) return [];
  const text = added.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const last = node.members?.at(-1);
  if (last === undefined) return [insertion(node.start + 1, text.join(","))];
  return [insertion(last.value.end, `,${text.join(",")}`)];
}

/** Takes members out of an object, each with the comma that joins it to the others. */
export function removeMembers(node: JsonNode, isRemoved: (name: string) => boolean): Edit[] {
  const members = node.members ?? [];
  const kept = members.findIndex(({ name }) => !isRemoved(name));
  return members.flatMap(({ name, start, value }, i) => {
    if (!isRemoved(name)) return [];
    // Behind a member that stays, the comma before goes; before the first such, the one behind.
    if (kept >= 0 && kept < i)
      return [{ start: members[i - 1]?.value.end ?? start, end: value.end, text: "" }];
    return [{ start, end: members[i + 1]?.start ?? value.end, text: "" }];
  });
}

function insertion(at: number, text: string): Edit {
  return { start: at, end: at, text };
}
