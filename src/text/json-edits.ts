import { OcicryptError } from "../errors.js";
import { MAP, parseWithPlaces, type JsonNode } from "./json.js";

/** One change of a text. If `start` equals `end`, it is an insertion. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/**
 * Returns the positions of all values in a text that {@link parseJson} has accepted. With them, one
 * member can be changed while every other byte of the document stays the same, because a manifest's
 * digest covers its bytes.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID` for any other text
 */
export function locate(text: string): JsonNode {
  return parseWithPlaces(text, { shape: MAP, maxSize: text.length, refuse: invalid }).root;
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("MANIFEST_INVALID", `a JSON document cannot be used: ${why}`);
}

/** Returns the value of an object's member. */
export function member(node: JsonNode | undefined, name: string): JsonNode | undefined {
  return node?.members?.find((candidate) => candidate.name === name)?.value;
}

/** Returns the text with all edits applied; they must not overlap. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = "";
  let position = 0;
  for (const { start, end, text: replacement } of [...edits].sort((a, b) => a.start - b.start)) {
    result += text.slice(position, start) + replacement;
    position = end;
  }
  return result + text.slice(position);
}

/** Inserts members after the last member of an object. */
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

/** Removes members from an object, each with the comma that joins it to the others. */
export function removeMembers(node: JsonNode, isRemoved: (name: string) => boolean): Edit[] {
  const members = node.members ?? [];
  const kept = members.findIndex(({ name }) => !isRemoved(name));
  return members.flatMap(({ name, start, value }, i) => {
    if (!isRemoved(name)) return [];
    // After a member that stays, the comma before the removed member goes; before the first member
    // that stays, the comma after it goes.
    if (kept >= 0 && kept < i)
      return [{ start: members[i - 1]?.value.end ?? start, end: value.end, text: "" }];
    return [{ start, end: members[i + 1]?.start ?? value.end, text: "" }];
  });
}

function insertion(at: number, text: string): Edit {
  return { start: at, end: at, text };
}
