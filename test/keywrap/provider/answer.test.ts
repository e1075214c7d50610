import { describe, expect, it } from "vitest";
import { encodeAnswer, parseAnswer } from "../../../src/keywrap/provider/messages.js";

const utf8 = (text: string): Buffer => Buffer.from(text, "utf8");

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
  ])("refuses %s", (_what, message, reason) => {
    expect(() => parseAnswer("keywrap", message, "it")).toThrow(
      expect.objectContaining({
        code: "PROVIDER_INVALID_RESPONSE",
        message: expect.stringMatching(reason) as string,
      }),
    );
  });
});
