import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isEncryptedBlock, pemBlocks } from "../../src/keys/pem.js";

const block = (label: string, body = "AAAA"): string =>
  `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----`;

describe("pemBlocks", () => {
  it.each<[string, string, string[]]>([
    ["nothing", "", []],
    ["no PEM", "just text", []],
    ["one block", block("A"), ["A"]],
    ["text around", `Bag Attributes\n  a: b\n${block("A")}\nthe end`, ["A"]],
    ["several", `${block("A")}\n${block("B B")}\n${block("A")}`, ["A", "B B", "A"]],
    ["several on one line", `${block("A")}${block("B")}`, ["A", "B"]],
    ["an empty label", block(""), [""]],
    ["no end", "-----BEGIN A-----\nAAAA", []],
    ["another end", "-----BEGIN A-----\nAAAA\n-----END B-----", []],
    ["a begin that is cut", "-----BEGIN A", []],
    ["one without end before another", `-----BEGIN A-----\nAAAA\n${block("B")}`, ["B"]],
    ["an end alone", "-----END A-----", []],
    ["CRLF", block("A").replaceAll("\n", "\r\n"), ["A"]],
  ])("finds the blocks of %s", (_, text, labels) => {
    expect(pemBlocks(text).map(({ label }) => label)).toEqual(labels);
  });

  it("gives each block with its lines, and nothing around them", () => {
    expect(pemBlocks(`x ${block("A", "BBBB")} y`)).toEqual([
      { label: "A", text: `${block("A", "BBBB")}\n` },
    ]);
  });

  it("finds all blocks of a file in order", () => {
    const label = fc.stringMatching(/^[A-Z0-9 ]{1,12}$/);
    const body = fc.base64String({ maxLength: 64 });
    const between = fc.stringMatching(/^[a-z:. \n]{0,20}$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(label, body, between), { maxLength: 5 }), (parts) => {
        const text = parts.map(([l, b, t]) => `${t}\n${block(l, b)}\n`).join("");
        expect(pemBlocks(text)).toEqual(
          parts.map(([l, b]) => ({ label: l, text: `${block(l, b)}\n` })),
        );
      }),
      { numRuns: 100 },
    );
  });
});

describe("isEncryptedBlock", () => {
  it.each<[string, string, boolean]>([
    ["ENCRYPTED PRIVATE KEY", "AAAA", true],
    ["PRIVATE KEY", "AAAA", false],
    ["RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA", true],
    ["EC PRIVATE KEY", "Proc-Type: 4, ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA", true],
    ["EC PRIVATE KEY", "Proc-Type:4,ENCRYPTED\n\nAAAA", true],
    ["RSA PRIVATE KEY", "Proc-Type: 4,CLEAR\n\nAAAA", false],
    ["RSA PRIVATE KEY", "X: Proc-Type: 4,ENCRYPTED\n\nAAAA", false],
  ])("%s with %j: %s", (label, body, expected) => {
    expect(isEncryptedBlock({ label, text: `${block(label, body)}\n` })).toBe(expected);
  });
});
