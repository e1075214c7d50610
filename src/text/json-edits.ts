import { OcicryptError } from "../errors.js";

/**
 * A JSON value with its place in the text, so that one member can be changed and every other byte
 * of the document stays: a manifest's digest is over its bytes.
 */
export interface JsonNode {
  start: number;
  end: number;
  /** Of an object, in the order of the text. */
  members?: JsonMember[];
  /** Of an array. */
  items?: JsonNode[];
}

export interface JsonMember {
  name: string;
  /** Where the name starts. */
  start: number;
  value: JsonNode;
}

/** One change of a text; an insertion where `start` is `end`. */
export interface Edit {
  start: number;
  end: number;
  text: string;
}

/** Real manifests nest four deep. */
const MAX_DEPTH = 32;

/**
 * Finds the places of all values of a text that `JSON.parse` has accepted.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID` for objects that name a member twice, of which
 *   readers take different ones, and for absurd nesting
 */
export function locate(text: string): JsonNode {
  let position = 0;

  function skipSpace(): void {
    while (/[ \t\r\n]/.test(text.charAt(position))) position++;
  }

  function string(): string {
    const start = position;
    position++;
    while (text.charAt(position) !== '"') position += text.charAt(position) === "\\" ? 2 : 1;
    position++;
    return JSON.parse(text.slice(start, position)) as string;
  }

  /** Moves behind the next comma, or behind the bracket that ends the list. */
  function more(): boolean {
    skipSpace();
    return text.charAt(position++) === ",";
  }

  function isEmpty(): boolean {
    position++;
    skipSpace();
    if (!/[}\]]/.test(text.charAt(position))) return false;
    position++;
    return true;
  }

  function members(depth: number): JsonMember[] {
    const found: JsonMember[] = [];
    const names = new Set<string>();
    if (isEmpty()) return found;
    do {
      skipSpace();
      const start = position;
      const name = string();
      if (names.has(name)) throw invalid(`names ${JSON.stringify(name.slice(0, 80))} twice`);
      names.add(name);
      skipSpace();
      position++;
      found.push({ name, start, value: value(depth) });
    } while (more());
    return found;
  }

  function items(depth: number): JsonNode[] {
    const found: JsonNode[] = [];
    if (isEmpty()) return found;
    do found.push(value(depth));
    while (more());
    return found;
  }

  function value(depth: number): JsonNode {
    if (depth > MAX_DEPTH) throw invalid("is nested too deep");
    skipSpace();
    const start = position;
    const first = text.charAt(position);
    if (first === "{") {
      const found = members(depth + 1);
      return { start, end: position, members: found };
    }
    if (first === "[") {
      const found = items(depth + 1);
      return { start, end: position, items: found };
    }
    if (first === '"') string();
    else while (position < text.length && !/[\s,}\]]/.test(text.charAt(position))) position++;
    return { start, end: position };
  }

  return value(0);
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("MANIFEST_INVALID", `a JSON document ${why}`);
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
