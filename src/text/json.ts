import { ANY, foldName, registerName, type Names, type Shape } from "./json-shape.js";

export { ANY, foldName, MAP, mapOf, struct, type Shape } from "./json-shape.js";

/** The deepest nesting of a JSON document; real documents have fewer than ten levels. */
export const MAX_JSON_DEPTH = 32;

/** The most values in a JSON document, which is read in one go; an index of 5000 entries has about 60,000. */
export const MAX_JSON_VALUES = 100_000;

/** The most members of one object, so that no document takes long to read. */
export const MAX_JSON_MEMBERS = 10_000;

/** An object of a document. Members that are fields of Go's struct are absent if they are null. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** A JSON value with its position in the text. */
export interface JsonNode {
  start: number;
  end: number;
  /** The members of an object, in the order of the text. */
  members?: JsonMember[];
  /** The items of an array. */
  items?: JsonNode[];
}

export interface JsonMember {
  name: string;
  /** The position at which the name starts. */
  start: number;
  value: JsonNode;
}

/** Options for reading a document. */
export interface JsonOptions {
  /** Returns the error for a rejected document, from a reason such as `it is not JSON`. */
  refuse: (why: string) => Error;
  /** The document's type in Go. Default: {@link ANY}. */
  shape?: Shape;
  /** The largest document, in bytes. */
  maxSize: number;
}

/**
 * Reads a JSON document so that no other reader can understand it differently. Go's encoding/json
 * matches names under Unicode case folding and uses the last of several equal names; other readers
 * compare names exactly, or use the first. A document is therefore rejected if
 *
 * - two names of an object are equal, or equal under folding (exactly equal in a map);
 * - a name equals a field of the {@link Shape} only under folding;
 * - it is not UTF-8, starts with a byte order mark, or contains half of a surrogate pair;
 * - it is larger, is more deeply nested or has more values than the limits allow.
 *
 * Fields that are null count as absent, as in Go (https://pkg.go.dev/encoding/json#Unmarshal). Null
 * members of maps and null items of arrays are kept, because Go reads them as zero values.
 *
 * @throws the error that `refuse` returns. Reasons quote names of the document, never its values.
 */
export function parseJson(document: Uint8Array | string, options: JsonOptions): unknown {
  return read(decode(document, options), options, false).value;
}

/** Reads a document as {@link parseJson} does, and also returns the positions of its values. */
export function parseWithPlaces(
  document: Uint8Array | string,
  options: JsonOptions,
): { text: string; value: unknown; root: JsonNode } {
  const text = decode(document, options);
  const { value, node } = read(text, options, true);
  return { text, value, root: node };
}

/** Returns the value if it is an object; `undefined` for arrays and everything else. */
export function asObject(value: unknown): JsonObject | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as JsonObject) : undefined;
}

/** Returns the value if it is an object; otherwise throws the error that `refuse` returns. */
export function requireObject(value: unknown, refuse: () => Error): JsonObject {
  const object = asObject(value);
  if (object === undefined) throw refuse();
  return object;
}

export function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

/** Returns an object's own member if it is a string; otherwise `undefined`. */
export function stringIn(value: unknown, name: string): string | undefined {
  const object = asObject(value);
  if (object === undefined || !Object.hasOwn(object, name)) return undefined;
  const text = object[name];
  return typeof text === "string" ? text : undefined;
}

function decode(document: Uint8Array | string, { refuse, maxSize }: JsonOptions): string {
  if (document.length > maxSize) throw refuse(`it is larger than ${String(maxSize)} bytes`);
  if (typeof document === "string") return document;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(document);
  } catch {
    throw refuse("it is not UTF-8");
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const NEEDS_PARSER = /[\\\u0000-\u001f\ud800-\udfff]/;
const [SPACE, TAB, LINE_FEED, RETURN] = [0x20, 0x09, 0x0a, 0x0d];
const [QUOTE, COMMA, COLON, OPEN_ARRAY, CLOSE_ARRAY] = [0x22, 0x2c, 0x3a, 0x5b, 0x5d];
const [OPEN_OBJECT, CLOSE_OBJECT] = [0x7b, 0x7d];

/** Reads a text in one pass. The recursion is as deep as the document, whose depth is limited. */
function read(
  text: string,
  { refuse, shape: rootShape = ANY }: JsonOptions,
  hasPlaces: boolean,
): { value: unknown; node: JsonNode } {
  let position = 0;
  let values = 0;
  /** The position of the value that was read last. */
  let node: JsonNode = { start: 0, end: 0 };
  const foldedNames = new Map<string, string>();

  /** Places within a value that nobody looks at are not kept. */
  function isPlaced(shape: Shape): boolean {
    return hasPlaces && shape !== ANY;
  }

  function skipSpace(): void {
    for (;;) {
      const code = text.charCodeAt(position);
      if (code !== SPACE && code !== LINE_FEED && code !== RETURN && code !== TAB) return;
      position++;
    }
  }

  /** Consumes a character if it is next, and returns whether it was. */
  function take(code: number): boolean {
    skipSpace();
    if (text.charCodeAt(position) !== code) return false;
    position++;
    return true;
  }

  function require(code: number): void {
    if (!take(code)) throw refuse("it is not JSON");
  }

  function string(): string {
    const start = position;
    let end = text.indexOf('"', start + 1);
    while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
    if (end < 0) throw refuse("it is not JSON");
    position = end + 1;
    const content = text.slice(start + 1, end);
    if (!NEEDS_PARSER.test(content)) return content;
    let parsed: string;
    try {
      parsed = JSON.parse(text.slice(start, position)) as string;
    } catch {
      throw refuse("it is not JSON");
    }
    if (/\p{Cs}/u.test(parsed)) throw refuse("it holds half of a surrogate pair");
    return parsed;
  }

  /** Cached, because the same few names occur again and again. */
  function fold(name: string): string {
    let folded = foldedNames.get(name);
    if (folded === undefined) {
      folded = foldName(name);
      if (foldedNames.size < 1000) foldedNames.set(name, folded);
    }
    return folded;
  }

  function object(shape: Shape, depth: number, start: number): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    const members: JsonMember[] | undefined = isPlaced(shape) ? [] : undefined;
    let count = 0;
    const names: Names = { few: [] };
    position++;
    if (!take(CLOSE_OBJECT)) {
      do {
        skipSpace();
        const nameStart = position;
        if (text.charCodeAt(position) !== QUOTE) throw refuse("it is not JSON");
        const written = string();
        const folded = shape.fields === undefined ? written : fold(written);
        const field = shape.fields?.get(folded);
        if (field !== undefined && field.name !== written && shape.isAnyCase !== true) {
          throw refuse(`its member ${quote(written)} is ${quote(field.name)} to some readers`);
        }
        if (++count > MAX_JSON_MEMBERS) throw refuse("it has too many values");
        const other = registerName(names, folded, written);
        if (other === written) throw refuse(`it names ${quote(written)} twice`);
        if (other !== undefined) {
          throw refuse(
            `its members ${quote(other)} and ${quote(written)} are the same to some readers`,
          );
        }
        require(COLON);
        const name = field?.name ?? written;
        const member = any(field?.shape ?? shape.values ?? (shape.fields ? ANY : shape), depth);
        if (member !== null || shape.fields === undefined) setOwn(value, name, member);
        members?.push({ name, start: nameStart, value: node });
      } while (take(COMMA));
      require(CLOSE_OBJECT);
    }
    if (hasPlaces) node = { start, end: position, ...(members && { members }) };
    return value;
  }

  function array(shape: Shape, depth: number, start: number): unknown[] {
    const value: unknown[] = [];
    const items: JsonNode[] | undefined = isPlaced(shape) ? [] : undefined;
    position++;
    if (!take(CLOSE_ARRAY)) {
      do {
        value.push(any(shape, depth));
        items?.push(node);
      } while (take(COMMA));
      require(CLOSE_ARRAY);
    }
    if (hasPlaces) node = { start, end: position, ...(items && { items }) };
    return value;
  }

  function literal(name: string, value: unknown): unknown {
    if (!text.startsWith(name, position)) throw refuse("it is not JSON");
    position += name.length;
    return value;
  }

  function number(): number {
    NUMBER.lastIndex = position;
    const digits = NUMBER.exec(text)?.[0];
    if (digits === undefined) throw refuse("it is not JSON");
    position += digits.length;
    return Number(digits);
  }

  function scalar(code: number): unknown {
    if (code === QUOTE) return string();
    if (code === 0x74) return literal("true", true);
    if (code === 0x66) return literal("false", false);
    if (code === 0x6e) return literal("null", null);
    return number();
  }

  function any(shape: Shape, depth: number): unknown {
    if (depth > MAX_JSON_DEPTH) throw refuse("it is nested too deeply");
    if (++values > MAX_JSON_VALUES) throw refuse("it has too many values");
    skipSpace();
    const start = position;
    const code = text.charCodeAt(start);
    if (code === OPEN_OBJECT) return object(shape, depth + 1, start);
    if (code === OPEN_ARRAY) return array(shape, depth + 1, start);
    const value = scalar(code);
    if (hasPlaces) node = { start, end: position };
    return value;
  }

  if (text.startsWith("\uFEFF")) throw refuse("it starts with a byte order mark");
  const value = any(rootShape, 0);
  skipSpace();
  if (position < text.length) throw refuse("it is not JSON");
  return { value, node };
}

/** A member may be named __proto__, and an assignment would then set the prototype. */
function setOwn(object: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== "__proto__") object[name] = value;
  else
    Object.defineProperty(object, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
}

/** Whether an odd number of backslashes precedes a quotation mark. */
function isEscaped(text: string, position: number): boolean {
  let start = position;
  while (text[start - 1] === "\\") start--;
  return (position - start) % 2 === 1;
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 80));
}
