import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { OcicryptError } from "../../src/errors.js";
import { redact, redactError, redactOpaque } from "../../src/text/redact.js";

const symkey = randomBytes(32);
const privateOptions = Buffer.from(
  JSON.stringify({
    symkey: symkey.toString("base64"),
    digest: `sha256:${randomBytes(32).toString("hex")}`,
    cipheroptions: { nonce: randomBytes(16).toString("base64") },
  }),
);
const request = Buffer.from(
  JSON.stringify({ op: "keywrap", keywrapparams: { optsdata: privateOptions.toString("base64") } }),
);
const urlSafe = (bytes: Buffer): string => bytes.toString("base64url");
const list = (bytes: Buffer, separator: string): string => [...bytes].join(separator);
const pairs = (bytes: Buffer, before: string, between: string): string =>
  [...bytes].map((byte) => before + byte.toString(16).padStart(2, "0")).join(between);

const SPELLINGS: [string, string][] = [
  ["its text", privateOptions.toString()],
  ["its text as a JSON string", JSON.stringify(privateOptions.toString())],
  ["its text with indentation", JSON.stringify(JSON.parse(privateOptions.toString()), null, 2)],
  ["base64", privateOptions.toString("base64")],
  ["base64 in lines", privateOptions.toString("base64").replace(/.{64}/g, "$&\n")],
  ["base64 with escaped slashes", privateOptions.toString("base64").replaceAll("/", "\\/")],
  ["URL-safe base64", urlSafe(privateOptions)],
  ["base64 in a URL", encodeURIComponent(privateOptions.toString("base64"))],
  ["hexadecimal", privateOptions.toString("hex")],
  ["capital hexadecimal", privateOptions.toString("hex").toUpperCase()],
  ["the request", request.toString()],
  ["the request in base64", request.toString("base64")],
  [
    "the request in base64 behind a byte",
    Buffer.concat([Buffer.of(10), request]).toString("base64"),
  ],
  ["the key alone in base64", symkey.toString("base64")],
  ["the key alone in hexadecimal", symkey.toString("hex")],
  ["the key alone as numbers", list(symkey, ", ")],
  ["all of it as numbers", `[${list(privateOptions, ",")}]`],
  ["the key alone as pairs", pairs(symkey, "", ":")],
  ["the key alone in C", pairs(symkey, "0x", ", ")],
  ["the key alone in Python", `b'${pairs(symkey, "\\x", "")}'`],
  ["the key alone percent-encoded", pairs(symkey, "%", "")],
  ["the key alone in base64 in groups", symkey.toString("base64").replace(/.{4}/g, "$& ")],
  ["the key alone in base64 with spaces", symkey.toString("base64").replace(/./g, "$& ")],
  ["the key alone in hexadecimal in groups", symkey.toString("hex").replace(/.{8}/g, "$&\n  ")],
];

/** Pieces of the key that would be left, in the encodings that a reader would look for. */
function leaks(text: string): string[] {
  const encodings = [
    symkey.toString("base64"),
    symkey.toString("hex"),
    symkey.toString("hex").toUpperCase(),
    list(symkey, ", "),
    list(symkey, ","),
    pairs(symkey, "", ":"),
    pairs(symkey, "\\x", ""),
  ];
  return encodings.flatMap((encoding) => {
    const size = encoding.includes(",") || encoding.includes(":") ? 16 : 8;
    return Array.from(encoding, (_, at) => encoding.slice(at, at + size)).filter(
      (piece) => piece.length === size && text.includes(piece),
    );
  });
}

describe("redact", () => {
  it.each(SPELLINGS)("removes a secret written as %s", (_what, spelling) => {
    const text = redact(`Traceback: cannot parse ${spelling} (exit)`, [privateOptions]);
    expect(leaks(text)).toEqual([]);
    expect(text).toMatch(/^Traceback: cannot parse .*\[redacted\]/s);
    expect(text).not.toContain(privateOptions.toString("base64", 20, 60));
  });

  it.each(SPELLINGS)("removes parts of a secret written as %s", (_what, spelling) => {
    const third = Math.floor(spelling.length / 3);
    for (const part of [spelling.slice(0, third), spelling.slice(third, 2 * third)]) {
      expect(leaks(redact(`…${part} and so on`, [privateOptions]))).toEqual([]);
    }
  });

  it.each(SPELLINGS.filter(([what]) => !what.includes("alone") && !what.includes("numbers")))(
    "removes private options that it was not given, written as %s",
    (_what, spelling) => {
      expect(leaks(redact(`cannot use ${spelling}!`, []))).toEqual([]);
    },
  );

  // SHA-256 of the empty text, as each program prints it.
  const digest = Buffer.from(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "hex",
  );
  const base64 = digest.toString("base64");
  it.each([
    ["signed numbers of Java", `[${[...new Int8Array(digest)].join(", ")}]`],
    [
      "a literal of Python",
      String.raw`b"\xe3\xb0\xc4B\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99o\xb9$'\xaeA\xe4d\x9b\x93L\xa4\x95\x99\x1bxR\xb8U"`,
    ],
    ["octal escapes", [...digest].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")],
    ["escapes with braces", [...digest].map((byte) => `\\x{${byte.toString(16)}}`).join("")],
    ["quoted-printable", pairs(digest, "=", "").toUpperCase()],
    ["hexadecimal with dots", pairs(digest, "", ".")],
    ["raw bytes that were read as UTF-8", digest.toString()],
    ["characters in a list", Array.from(base64).join(",")],
    ["base64 with hyphens", base64.match(/.{1,4}/g)!.join("-")],
    [
      "joined strings",
      base64
        .match(/.{1,5}/g)!
        .map((part) => `"${part}"`)
        .join(" + "),
    ],
    ["coloured characters", Array.from(base64, (each) => `\x1b[32m${each}\x1b[0m`).join("")],
  ])("removes bytes written as %s", (_what, spelling) => {
    const text = redact(`cannot use ${spelling}!`, [digest]);
    expect(text).toMatch(/^cannot use \W{0,2}b?\W{0,5}(?:32m)?\[redacted\]/);
    expect(text.replace(/\x1b\[\d+m/g, "").length).toBeLessThan(40);
  });

  // Python's base64.b32encode, b85encode, a85encode and z85encode of the bytes 0 to 31.
  const counting = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
  it.each([
    ["base32", "AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPQ"],
    ["base32 behind a byte", "PAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6"],
    ["RFC 1924's base85", "009C61O)~M2nh-c3=Iws5D^j+6crX17#SKH9337X"],
    ["Ascii85", "!!*-'\"9eu7#RLhG$k3[W&.oNg'GVB\"(`=52*$$(B"],
    ["Ascii85 behind three bytes", "G^4T8!<N?+\"U52;#mq%K%1Wm[&J>`k'c%T&)&aG6*?H:"],
    ["ZeroMQ's base85", "009c61o!#m2NH?C3>iWS5d]J*6CRx17-skh9337x"],
    ["a number", "1780731860627700044960722568376592200742329637303199754547598369979440671"],
    [
      "a number from the other end",
      "14074904626401341155369551180448584754667373453244490859944217516317499064576",
    ],
  ])("removes a key written as %s", (_what, spelling) => {
    expect(redact(`key <${spelling}>`, [counting])).toMatch(/^key <.{0,6}\[redacted\].{0,2}>$/);
    const half = spelling.slice(10, 10 + spelling.length / 2);
    expect(redact(half, [counting]).replace("[redacted]", "").length).toBeLessThan(6);
  });

  it("removes a short secret if it is complete", () => {
    expect(redact("the PIN 47110 is wrong", [Buffer.from("47110")])).toBe(
      "the PIN [redacted] is wrong",
    );
  });

  it.each([
    "no route to host 10.0.0.1:443 (ECONNREFUSED)",
    "key 5f2b8c1e-93d4-4d7a-8a5e-0a1b2c3d4e5f in /usr/lib/python3.11/site-packages/provider.py:17",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 is unknown",
    "exit status 1, 2, 3, 4 of 5",
  ])("keeps %s", (text) => {
    expect(redact(text, [privateOptions])).toBe(text);
    expect(redactOpaque(text)).toBe(text);
  });
});

it("keeps a digest that begins like the one in the private options", () => {
  const digest = `sha256:f00d${"1".repeat(60)}`;
  const other = `sha256:f00e${"2".repeat(60)}`;
  const options = Buffer.from(JSON.stringify({ symkey: symkey.toString("base64"), digest }));
  expect(redact(`no layer ${other}`, [options])).toBe(`no layer ${other}`);
  expect(redact(`no layer ${digest}`, [options])).not.toContain(digest);
});

describe("redactOpaque", () => {
  it.each([symkey.toString("base64"), symkey.toString("hex"), urlSafe(privateOptions)])(
    "removes %s",
    (token) => {
      expect(redactOpaque(`got ${token}.`)).not.toContain(token.slice(0, 12));
    },
  );
});

describe("redactError", () => {
  it("returns an error without secrets unchanged", () => {
    const error = new Error("no network", { cause: new Error("ENETDOWN") });
    expect(redactError(error, [privateOptions])).toBe(error);
  });

  it("keeps the code", () => {
    const error = new OcicryptError("PROVIDER_FAILED", `said ${privateOptions.toString("hex")}`);
    const redacted = redactError(error, [privateOptions]);
    expect(redacted).toBeInstanceOf(OcicryptError);
    expect(redacted).toMatchObject({ code: "PROVIDER_FAILED", message: "said [redacted]" });
  });

  it.each<[string, unknown]>([
    ["its cause", new Error("failed", { cause: new Error(symkey.toString("base64")) })],
    ["a member", Object.assign(new Error("failed"), { details: privateOptions.toString() })],
    ["a buffer", Object.assign(new Error("failed"), { stdout: Buffer.from(privateOptions) })],
    [
      "a nested member",
      Object.assign(new Error("failed"), { request: { body: request.toString() } }),
    ],
    ["several errors", new AggregateError([new Error(symkey.toString("hex"))], "failed")],
    ["a text that was thrown", privateOptions.toString()],
  ])("removes a secret in %s", (_what, error) => {
    const redacted = redactError(error, [privateOptions]);
    expect(leaks(inspect(redacted, { depth: 10 }))).toEqual([]);
    expect(inspect(redacted, { depth: 10 })).not.toContain("symkey");
  });

  it("does not call getters of an error", () => {
    const error = Object.defineProperty(new Error("failed"), "later", {
      get() {
        throw new Error("called");
      },
    });
    expect(redactError(error, [privateOptions])).toBe(error);
  });
});
