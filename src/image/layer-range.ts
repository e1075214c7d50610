/** Layers from one place to another, both included; places that a manifest does not have are none. */
export interface LayerRange {
  from: number;
  to: number;
}

/**
 * Reads the place of a layer, or a range of them, as people write it: `2`, `-1`, `1..3`, `-2..-1`.
 *
 * @returns `undefined` for any other text
 */
export function parseLayerRange(text: string): number | LayerRange | undefined {
  const [, first, last] = /^(-?\d{1,9})(?:\.\.(-?\d{1,9}))?$/.exec(text) ?? [];
  if (first === undefined) return undefined;
  return last === undefined ? Number(first) : { from: Number(first), to: Number(last) };
}
