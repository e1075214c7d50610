import { describe, expect, it } from "vitest";
import { parseLayerRange } from "../../../src/image/manifests/select-layers.js";

describe("parseLayerRange", () => {
  it.each<[string, number | { from: number; to: number }]>([
    ["0", 0],
    ["12", 12],
    ["-1", -1],
    ["1..3", { from: 1, to: 3 }],
    ["-2..-1", { from: -2, to: -1 }],
    ["0..-1", { from: 0, to: -1 }],
    ["3..1", { from: 3, to: 1 }],
  ])("reads %s", (text, expected) => {
    expect(parseLayerRange(text)).toEqual(expected);
  });

  it.each(["", "-", "a", "1.", "1.2", "1...2", "1..", "..2", "1..2..3", " 1", "1 ", "1\n", "+1", "1e3", "0x1", "--1", "1..+2", "1234567890", "١"])(
    "rejects %j",
    (text) => {
      expect(parseLayerRange(text)).toBeUndefined();
    },
  ); // prettier-ignore
});
