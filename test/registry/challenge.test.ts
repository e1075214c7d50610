import { describe, expect, it } from "vitest";
import { parseChallenges } from "../../src/registry/authorization.js";

type Parsed = [string, Record<string, string>][];

const VALID: readonly [string, Parsed][] = [
  ["", []],
  ["Basic", [["basic", {}]]],
  // By its grammar "realm=" is one value, and no parameter.
  ["Bearer realm=", [["bearer", {}]]],
  ['Basic realm="a"', [["basic", { realm: "a" }]]],
  ['BASIC REALM="a"', [["basic", { realm: "a" }]]],
  [
    'Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push"',
    [
      [
        "bearer",
        { realm: "https://auth.example/token", service: "r", scope: "repository:a/b:pull,push" },
      ],
    ],
  ],
  ['Bearer realm = "a" , service = b', [["bearer", { realm: "a", service: "b" }]]],
  ['Bearer realm="a \\"b\\" \\\\ c"', [["bearer", { realm: 'a "b" \\ c' }]]],
  ['Bearer realm=""', [["bearer", { realm: "" }]]],
  [
    'Basic realm="a, b", Bearer realm="c"',
    [
      ["basic", { realm: "a, b" }],
      ["bearer", { realm: "c" }],
    ],
  ],
  [
    'Negotiate, Bearer realm="c"',
    [
      ["negotiate", {}],
      ["bearer", { realm: "c" }],
    ],
  ],
  [
    "NTLM dGVzdA==, Basic",
    [
      ["ntlm", {}],
      ["basic", {}],
    ],
  ],
  [', ,Basic realm="a", ,', [["basic", { realm: "a" }]]],
];

const INVALID = [
  'Bearer realm="a',
  'Bearer realm="a" service="b"',
  'Bearer realm="a",realm="b"',
  'Bearer realm="a",REALM="b"',
  'Bearer realm="a\nb"',
  'Bearer realm="a"x',
  "Bearer realm=a b",
  'Bearer "a"',
  '="a"',
];

describe("WWW-Authenticate", () => {
  it.each(VALID)("%s", (header, expected) => {
    const parsed = parseChallenges(header)?.map(({ scheme, params }) => [
      scheme,
      Object.fromEntries(params),
    ]);
    expect(parsed).toEqual(expected);
  });

  it.each(INVALID)("%s is not well-formed", (header) => {
    expect(parseChallenges(header)).toBeUndefined();
  });

  it("is not read if it is too long", () => {
    expect(parseChallenges(`Bearer realm="${"a".repeat(8000)}"`)).toHaveLength(1);
    expect(parseChallenges(`Bearer realm="${"a".repeat(8200)}"`)).toBeUndefined();
  });
});
