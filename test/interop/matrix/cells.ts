import { expect } from "vitest";
import type { Implementation, Ours } from "./implementation.js";
import type { Scheme } from "./schemes.js";

export const DIRECTIONS = ["theirs opens ours", "ours opens theirs"] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** One row with one peer in one direction; throws where that does not work. */
export type Exchange = (scheme: Scheme, direction: Direction) => Promise<void>;

export function exchange<Encrypted>(
  ours: Ours<Encrypted>,
  theirs: Implementation<Encrypted>,
): Exchange {
  return async (scheme, direction) => {
    const { recipients, added = [], keys, ownKeys = keys } = scheme;
    const [writer, reader, readersKeys] =
      direction === "theirs opens ours" ? [ours, theirs, keys] : [theirs, ours, ownKeys];
    let encrypted = await writer.encrypt(recipients);
    if (added.length > 0) encrypted = await ours.add(encrypted, ownKeys[0]!, added);
    // A peer may leave out recipients, or encryption at all, without a word.
    const names = [...recipients, ...added].map(schemeOf);
    expect(new Set(ours.schemesOf(encrypted))).toEqual(new Set(names));
    for (const each of readersKeys) {
      expect(await reader.decrypt(encrypted, each), each.join()).toEqual(ours.content);
    }
  };
}

/** The scheme as annotations name it. */
function schemeOf(recipient: string): string {
  const [scheme = "", value = ""] = recipient.split(":");
  return scheme === "provider" ? `provider.${value}` : scheme;
}
