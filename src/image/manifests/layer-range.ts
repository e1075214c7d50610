/**
 * A range of positions, including both ends; positions that a manifest does not have are ignored.
 */
export interface LayerRange {
  from: number;
  to: number;
}

/**
 * Parses the position of a layer, or a range of positions: `2`, `-1`, `1..3`, `-2..-1`.
 *
 * @returns `undefined` for any other text
 */
export function parseLayerRange(text: string): number | LayerRange | undefined {
  const [, first, last] = /^(-?\d{1,9})(?:\.\.(-?\d{1,9}))?$/.exec(text) ?? [];
  if (first === undefined) return undefined;
  return last === undefined ? Number(first) : { from: Number(first), to: Number(last) };
}

/** Formats a position or a range as {@link parseLayerRange} reads it. */
export function formatLayerRange(wanted: number | LayerRange): string {
  if (typeof wanted === "number") return String(wanted);
  return `${String(wanted.from)}..${String(wanted.to)}`;
}

/** Whether a range has the position of a layer, in a manifest with a number of layers. */
export function isInRange(index: number, layers: number, wanted: number | LayerRange): boolean {
  const fromStart = (place: number): number => (place < 0 ? place + layers : place);
  if (typeof wanted === "number") return index === fromStart(wanted);
  if (!Number.isInteger(wanted.from) || !Number.isInteger(wanted.to)) return false;
  return fromStart(wanted.from) <= index && index <= fromStart(wanted.to);
}
