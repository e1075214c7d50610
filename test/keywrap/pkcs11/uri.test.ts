import { describe, expect, it } from "vitest";
import { parsePkcs11Uri } from "../../../src/keywrap/pkcs11/uri.js";
import { expectCode } from "../../support/codes.js";
import { wholeText } from "./whole-text.js";

describe("parsePkcs11Uri", () => {
  it.each([
    {
      uri: "pkcs11:token=oci;object=key;id=%01%ff?pin-value=1234&module-name=softhsm2",
      parsed: {
        token: new Map([["token", "oci"]]),
        object: "key",
        id: Buffer.from([0x01, 0xff]),
        pinValue: "1234",
        moduleName: "softhsm2",
      },
    },
    {
      uri: "pkcs11:slot-id=2053753261?module-name=softhsm2&pin-value=1234",
      parsed: {
        token: new Map(),
        slotId: 2053753261,
        pinValue: "1234",
        moduleName: "softhsm2",
      },
    },
    { uri: "pkcs11:slot-id=0", parsed: { token: new Map(), slotId: 0 } },
    { uri: "pkcs11:slot-id=4294967295", parsed: { token: new Map(), slotId: 4294967295 } },
    { uri: "pkcs11:", parsed: { token: new Map() } },
    { uri: "pkcs11:?", parsed: { token: new Map() } },
    {
      // as p11tool prints it
      uri: "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=8df2;token=o%20i;id=%41;object=k;type=private",
      parsed: {
        token: new Map([
          ["token", "o i"],
          ["manufacturer", "SoftHSM project"],
          ["serial", "8df2"],
          ["model", "SoftHSM v2"],
        ]),
        object: "k",
        id: Buffer.from("A"),
      },
    },
    {
      uri: "pkcs11:object=Schl%C3%BCssel%3b%3F%3d;token=a=b+c&d",
      parsed: { token: new Map([["token", "a=b+c&d"]]), object: "Schlüssel;?=" },
    },
    {
      uri: "pkcs11:token=ü?module-path=/usr/lib/a?b.so",
      parsed: { token: new Map([["token", "ü"]]), modulePath: "/usr/lib/a?b.so" },
    },
    {
      uri: "pkcs11:token=t?pin-value=%26%25=;?&unused=1&x-vendor=2",
      parsed: { token: new Map([["token", "t"]]), pinValue: "&%=;?" },
    },
    {
      uri: "pkcs11:token=t?pin-source=/etc/pin",
      parsed: { token: new Map([["token", "t"]]), pinSource: "/etc/pin" },
    },
    {
      uri: "pkcs11:token=t?pin-source=file:/etc/pin",
      parsed: { token: new Map([["token", "t"]]), pinSource: "/etc/pin" },
    },
    {
      uri: "pkcs11:token=t?pin-source=file:%2F%2F%2Fetc%2Fa%2520b",
      parsed: { token: new Map([["token", "t"]]), pinSource: "/etc/a b" },
    },
    {
      uri: "pkcs11:token=t;type=public",
      parsed: { token: new Map([["token", "t"]]) },
    },
  ])("reads $uri", ({ uri, parsed }) => {
    expect(parsePkcs11Uri(uri)).toEqual(parsed);
  });

  // 4711 is the PIN, wherever it was put.
  it.each([
    { why: "no scheme", uri: "foobar4711" },
    { why: "an empty string", uri: "" },
    { why: "upper case, which Go refuses", uri: "PKCS11:token=4711" },
    { why: "an attribute without a value", uri: "pkcs11:token4711" },
    { why: "an empty attribute", uri: "pkcs11:token=4711;" },
    { why: "an empty attribute of the query", uri: "pkcs11:token=t?pin-value=4711&" },
    { why: "a value without a name", uri: "pkcs11:=4711" },
    { why: "a query attribute without a value", uri: "pkcs11:token=t?4711" },
    { why: "a path attribute twice", uri: "pkcs11:token=4711;token=4711" },
    { why: "a query attribute twice", uri: "pkcs11:token=t?pin-value=4711&pin-value=4711" },
    { why: "an unknown query attribute twice", uri: "pkcs11:token=t?a=4711&a=4711" },
    { why: "an unknown path attribute", uri: "pkcs11:token=t;x-4711=4711" },
    { why: "one of the library, not looked at here", uri: "pkcs11:library-version=4711" },
    { why: "a PIN in the path", uri: "pkcs11:token=t;pin-value=4711" },
    { why: "a prototype's name in the path", uri: "pkcs11:__proto__=4711" },
    { why: "half an escape", uri: "pkcs11:token=4711%4" },
    { why: "an invalid escape", uri: "pkcs11:token=4711%zz" },
    { why: "a bad escape in an unknown attribute", uri: "pkcs11:token=t?a=%4711%" },
    { why: "a PIN that is not UTF-8", uri: "pkcs11:token=t?pin-value=4711%ff" },
    { why: "a label that is not UTF-8", uri: "pkcs11:object=%c3%28" },
    { why: "two sources of the PIN", uri: "pkcs11:token=t?pin-value=4711&pin-source=/p" },
    { why: "a PIN as pin-source", uri: "pkcs11:token=t?pin-source=4711" },
    { why: "a command as pin-source", uri: "pkcs11:token=t?pin-source=|/bin/echo%204711" },
    { why: "a relative file: URI", uri: "pkcs11:token=t?pin-source=file:4711" },
    { why: "a file: URI with a host", uri: "pkcs11:token=t?pin-source=file://4711/p" },
    { why: "another scheme as pin-source", uri: "pkcs11:token=t?pin-source=https://h/4711" },
    { why: "an encoded slash in a file: URI", uri: "pkcs11:token=t?pin-source=file:/4711%252Fa" },
    { why: "a relative module-path", uri: "pkcs11:token=t?module-path=lib/4711.so" },
    { why: "an invalid type", uri: "pkcs11:token=t;type=4711" },
    { why: "an empty type", uri: "pkcs11:token=t;type=" },
    { why: "a slot-id beyond 32 bits", uri: "pkcs11:slot-id=4294967296" },
    { why: "a negative slot-id", uri: "pkcs11:slot-id=-4711" },
    { why: "a slot-id with a sign", uri: "pkcs11:slot-id=%2B4711" },
    { why: "a hexadecimal slot-id", uri: "pkcs11:slot-id=0x4711" },
    { why: "an empty slot-id", uri: "pkcs11:slot-id=" },
  ])("rejects $why", async ({ uri }) => {
    const error = await expectCode(() => parsePkcs11Uri(uri), "KEY_UNRECOGNIZED");
    expect(wholeText(error).replace(/at .*$/gm, "")).not.toContain("4711");
  });

  it.each(["cert", "secret-key", "data"])(
    "rejects type=%s, which is not a key pair",
    async (type) => {
      await expectCode(() => parsePkcs11Uri(`pkcs11:token=t;type=${type}`), "KEY_UNSUPPORTED");
    },
  );
});
