/**
 * The field names of Go's type for a value, and the shapes of their values. An array has the shape
 * of its items.
 */
export interface Shape {
  /** The fields by {@link foldName} of their names; `undefined` for a map, whose names are data. */
  fields?: ReadonlyMap<string, { name: string; shape: Shape }>;
  /** The shape of a map's values. Default: they are maps too. */
  values?: Shape;
  /** Whether a name in another case is read as the field. Default: it is rejected. */
  isAnyCase?: boolean;
}

/** The shape of values whose members neither this library nor Go reads. */
export const ANY: Shape = { fields: new Map() };

/** The shape of a Go struct. */
export function struct(fields: Readonly<Record<string, Shape>>, isAnyCase = false): Shape {
  const entries = Object.entries(fields).map(
    ([name, shape]) => [foldName(name), { name, shape }] as const,
  );
  return { fields: new Map(entries), isAnyCase };
}

/** The shape of a Go map, whose names are case-sensitive. */
export function mapOf(values: Shape): Shape {
  return { values };
}

/** The shape of maps and their values in which all names are data. */
export const MAP: Shape = {};

/**
 * Returns the same text for all names that Go reads as the same field. It is coarser than the
 * simple case folding of https://go.dev/src/encoding/json/fold.go.
 */
export function foldName(name: string): string {
  return name.toLowerCase().toUpperCase();
}

/** Most objects have so few names that a map costs more than it saves. */
const FEW_NAMES = 8;

/** Names of one object, each behind its folded form. */
export interface Names {
  few: string[];
  many?: Map<string, string>;
}

/** Registers a name; returns the one that was there under its folded form. */
export function registerName(names: Names, folded: string, written: string): string | undefined {
  const { few } = names;
  if (names.many === undefined) {
    for (let i = 0; i < few.length; i += 2) if (few[i] === folded) return few[i + 1];
    if (few.push(folded, written) <= 2 * FEW_NAMES) return undefined;
    names.many = new Map();
    for (let i = 0; i < few.length; i += 2) names.many.set(few[i] ?? "", few[i + 1] ?? "");
    return undefined;
  }
  const other = names.many.get(folded);
  if (other === undefined) names.many.set(folded, written);
  return other;
}
