/**
 * The names that Go's type for a value has, and the shapes of their values. Arrays have the shape
 * of their items.
 */
export interface Shape {
  /** By {@link foldName} of the name; `undefined` for a map, whose names are data. */
  fields?: ReadonlyMap<string, { name: string; shape: Shape }>;
  /** The shape of a map's values; by default they are maps too. */
  values?: Shape;
  /** Whether a name in other letters is read as the field, instead of refused. */
  isAnyCase?: boolean;
}

/** The shape of values whose members nobody here or in Go looks at. */
export const ANY: Shape = { fields: new Map() };

/** The shape of a Go struct. */
export function struct(fields: Readonly<Record<string, Shape>>, isAnyCase = false): Shape {
  const entries = Object.entries(fields).map(
    ([name, shape]) => [foldName(name), { name, shape }] as const,
  );
  return { fields: new Map(entries), isAnyCase };
}

/** The shape of a Go map, whose names differ as soon as one letter does. */
export function mapOf(values: Shape): Shape {
  return { values };
}

/** The shape of maps and their values in which all names are data. */
export const MAP: Shape = {};

/**
 * Equal for all names that Go takes for the same field: coarser than the simple case folding of
 * https://go.dev/src/encoding/json/fold.go.
 */
export function foldName(name: string): string {
  return name.toLowerCase().toUpperCase();
}
