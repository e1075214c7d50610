import { describe, expect, it } from "vitest";
import {
  describe as describeProvider,
  encodeAnswer,
  encodeRequest,
  parseAnswer,
  parseRequest,
} from "../../../src/keywrap/provider/messages.js";

const utf8 = (text: string): Buffer => Buffer.from(text, "utf8");

// Captured from ocicrypt v1.3.2 with a command that keeps its standard input, a layer without
// digest and the recipients provider:mykp and provider:mykp:x:y; the key was replaced.
const GO_WRAP =
  '{"op":"keywrap","keywrapparams":{"ec":{"Parameters":{"mykp":["RW5hYmxlZA=="]},' +
  '"DecryptConfig":{"Parameters":{}}},"optsdata":"dGhlIHNlY3JldA=="},' +
  '"keyunwrapparams":{"dc":null,"annotation":null}}';
const GO_UNWRAP =
  '{"op":"keyunwrap","keywrapparams":{"ec":null,"optsdata":null},' +
  '"keyunwrapparams":{"dc":{"Parameters":{"mykp":["eDp5"]}},"annotation":"d3JhcHBlZA=="}}';

describe("encodeRequest", () => {
  it("writes what Go writes to wrap", () => {
    const request = encodeRequest("keywrap", "mykp", ["Enabled"], utf8("the secret"));
    expect(Buffer.from(request).toString()).toBe(GO_WRAP);
  });

  it("writes what Go writes to unwrap", () => {
    const request = encodeRequest("keyunwrap", "mykp", ["x:y"], utf8("wrapped"));
    expect(Buffer.from(request).toString()).toBe(GO_UNWRAP);
  });

  it("writes a name that is special in JavaScript like any other", () => {
    const request = encodeRequest("keyunwrap", "__proto__", ["x"], utf8("w"));
    expect(Buffer.from(request).toString()).toContain('"Parameters":{"__proto__":["eA=="]}');
    expect(parseRequest(request, "__proto__").params).toEqual(["x"]);
  });
});

describe("parseRequest", () => {
  it("reads what Go writes", () => {
    expect(parseRequest(utf8(GO_WRAP), "mykp")).toEqual({
      operation: "keywrap",
      bytes: utf8("the secret"),
      params: ["Enabled"],
    });
    expect(parseRequest(utf8(GO_UNWRAP), undefined)).toEqual({
      operation: "keyunwrap",
      bytes: utf8("wrapped"),
      params: ["x:y"],
    });
  });

  const unwrap = (dc: unknown, annotation: unknown = "d3JhcHBlZA=="): Buffer =>
    utf8(JSON.stringify({ op: "keyunwrap", keyunwrapparams: { dc, annotation } }));
  const table = { privkeys: ["c2VjcmV0"], a: ["MQ=="], b: ["Mg==", "Mw=="] };

  it.each<[string, string | undefined, unknown, string[]]>([
    ["its own", "a", { Parameters: table }, ["1"]],
    ["its own, several", "b", { Parameters: table }, ["2", "3"]],
    ["none of its own", "c", { Parameters: table }, []],
    ["none by an inherited name", "constructor", { Parameters: table }, []],
    ["all but those of other schemes", undefined, { Parameters: table }, ["1", "2", "3"]],
    ["as numbers", "a", { Parameters: { a: [[104, 105]] } }, ["hi"]],
    ["a list that Go never set", "a", { Parameters: { a: null } }, []],
    ["a text that Go never set", "a", { Parameters: { a: [null] } }, [""]],
    ["a table that Go never set", "a", { Parameters: null }, []],
    ["no table", "a", {}, []],
    ["null", "a", null, []],
  ])("reads parameters: %s", (_what, name, dc, params) => {
    expect(parseRequest(unwrap(dc), name).params).toEqual(params);
  });

  it("ignores parameters of other providers", () => {
    const parameters = { a: ["MQ=="], privkeys: 1, other: "not a list" };
    expect(parseRequest(unwrap({ Parameters: parameters }), "a").params).toEqual(["1"]);
  });

  it("reads numbers", () => {
    expect(parseRequest(unwrap(null, [0, 255]), "a").bytes).toEqual(Uint8Array.of(0, 255));
  });

  it.each<[string, Uint8Array]>([
    ["nothing", utf8("")],
    ["no JSON", utf8("{")],
    ["no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
    ["an array", utf8("[]")],
    ["null", utf8("null")],
    ["more than four MiB", Buffer.alloc(4 * 1024 * 1024 + 1, " ")],
    ["no operation", utf8('{"keyunwrapparams":{"annotation":"AA=="}}')],
    ["another operation", utf8('{"op":"constructor","keyunwrapparams":{"annotation":"AA=="}}')],
    ["the other half", utf8('{"op":"keywrap","keyunwrapparams":{"annotation":"AA=="}}')],
    ["a half that is an array", utf8('{"op":"keywrap","keywrapparams":[]}')],
    ["no bytes", unwrap(null, null)],
    ["empty bytes", unwrap(null, "")],
    ["an object for bytes", unwrap(null, { 0: 1 })],
    ["bytes that are not base64", unwrap(null, '{"symkey":')],
    ["a number above a byte", unwrap(null, [256])],
    ["a negative number", unwrap(null, [-1])],
    ["a fraction", unwrap(null, [0.5])],
    ["a table that is an array", unwrap({ Parameters: [] })],
    ["a table that is a text", unwrap({ Parameters: "x" })],
    ["a list that is not an array", unwrap({ Parameters: { a: "eA==" } })],
    ["a parameter that is not base64", unwrap({ Parameters: { a: ["x"] } })],
    ["a parameter that is an object", unwrap({ Parameters: { a: [{}] } })],
    ["a parameter that is not UTF-8", unwrap({ Parameters: { a: ["/w=="] } })],
  ])("rejects %s", (_what, message) => {
    expect(() => parseRequest(message, "a")).toThrow(
      expect.objectContaining({ code: "PROVIDER_INVALID_REQUEST" }),
    );
  });
});

describe("encodeAnswer", () => {
  it.each([
    ["keywrap", "base64", '{"keywrapresults":{"annotation":"AP8="}}'],
    ["keyunwrap", "base64", '{"keyunwrapresults":{"optsdata":"AP8="}}'],
    ["keywrap", "numbers", '{"keywrapresults":{"annotation":[0,255]}}'],
    ["keyunwrap", "numbers", '{"keyunwrapresults":{"optsdata":[0,255]}}'],
  ] as const)("writes %s in %s", (operation, encoding, json) => {
    const answer = encodeAnswer(operation, Uint8Array.of(0, 255), encoding);
    expect(Buffer.from(answer).toString()).toBe(json);
  });
});

describe("parseAnswer", () => {
  it.each([
    ["keywrap", '{"keywrapresults":{"annotation":"AP8="}}'],
    ["keywrap", '{"keywrapresults":{"annotation":"AP8="},"keyunwrapresults":{"optsdata":null}}'],
    ["keywrap", ' {"keywrapresults":{"annotation":[0,255]},"keyunwrapresults":null}\n'],
    ["keyunwrap", '{"keyunwrapresults":{"optsdata":"AP8="}}'],
    ["keyunwrap", '{"keyunwrapresults":{"optsdata":[0,255]},"keywrapresults":{}}'],
    ["keyunwrap", '{"keyunwrapresults":{"optsdata":"AP8\\n="}}'],
  ] as const)("reads %s %s", (operation, json) => {
    expect(new Uint8Array(parseAnswer(operation, utf8(json), "it"))).toEqual(Uint8Array.of(0, 255));
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["nothing", utf8(""), /it is empty$/],
    ["garbage", utf8("hello"), /not a JSON object$/],
    ["an array", utf8("[1]"), /not a JSON object$/],
    ["no UTF-8", Buffer.from('{"keywrapresults":{"annotation":"\xff"}}', "latin1"), /not a JSON/],
    ["two values", utf8("{} {}"), /not a JSON object$/],
    ["an empty object", utf8("{}"), /has no keywrapresults\.annotation$/],
    ["the other half", utf8('{"keyunwrapresults":{"optsdata":"AA=="}}'), /has no keywrapresults/],
    ["a half that is a text", utf8('{"keywrapresults":"AA=="}'), /has no keywrapresults/],
    ["null", utf8('{"keywrapresults":{"annotation":null}}'), /has no keywrapresults/],
    ["an empty text", utf8('{"keywrapresults":{"annotation":""}}'), /annotation is empty$/],
    ["no numbers", utf8('{"keywrapresults":{"annotation":[]}}'), /annotation is empty$/],
    ["a number", utf8('{"keywrapresults":{"annotation":7}}'), /neither base64 nor bytes$/],
    ["a large number", utf8('{"keywrapresults":{"annotation":[256]}}'), /neither base64/],
    ["texts", utf8('{"keywrapresults":{"annotation":["1"]}}'), /neither base64 nor bytes$/],
    ["no padding", utf8('{"keywrapresults":{"annotation":"AP8"}}'), /neither base64 nor bytes$/],
    ["a plain text", utf8('{"keywrapresults":{"annotation":"{a}"}}'), /neither base64 nor bytes$/],
  ])("rejects %s", (_what, message, reason) => {
    expect(() => parseAnswer("keywrap", message, "it")).toThrow(
      expect.objectContaining({
        code: "PROVIDER_INVALID_RESPONSE",
        message: expect.stringMatching(reason) as string,
      }),
    );
  });
});

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value), "utf8");

describe("describe", () => {
  it.each<[string, Uint8Array, { algorithm: string; keyId?: string }]>([
    [
      "the packet of Confidential Containers",
      json({ kid: "kbs:///repo/type/tag", wrapped_data: "AA==", iv: "", wrap_type: "A256GCM" }),
      { algorithm: "A256GCM", keyId: "kbs:///repo/type/tag" },
    ],
    [
      "the packet of ocicrypt's documentation",
      json({ key_url: "https://key-provider/uuid", wrapped_key: "AA==", wrap_type: "AES" }),
      { algorithm: "AES", keyId: "https://key-provider/uuid" },
    ],
    [
      "a key without algorithm",
      json({ key_url: "spike" }),
      { algorithm: "provider", keyId: "spike" },
    ],
    ["kid before key_url", json({ kid: "a", key_url: "b" }), { algorithm: "provider", keyId: "a" }],
    ["an algorithm without key", json({ wrap_type: "AES" }), { algorithm: "provider" }],
    ["bytes", Buffer.from([0xff, 0x00]), { algorithm: "provider" }],
    ["nothing", Buffer.alloc(0), { algorithm: "provider" }],
    ["a list", json([{ kid: "a" }]), { algorithm: "provider" }],
    ["null", json(null), { algorithm: "provider" }],
    ["names that are no texts", json({ kid: { a: 1 }, key_url: 7 }), { algorithm: "provider" }],
    ["empty names", json({ kid: "", key_url: " \n" }), { algorithm: "provider" }],
    [
      "a name that writes on the terminal",
      json({ kid: "a\u001b[31m\u202eb\nc\u200bd", wrap_type: "x\u0007" }),
      { algorithm: "x", keyId: "a [31m b c d" },
    ],
    [
      "a name without end",
      json({ kid: "k".repeat(100_000) }),
      { algorithm: "provider", keyId: `${"k".repeat(200)}…` },
    ],
  ])("describes %s", (_what, wrapped, info) => {
    expect(describeProvider(wrapped)).toEqual([info]);
  });
});
