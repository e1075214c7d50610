import { describe, expect, it } from "vitest";
import { isOcicryptError, OcicryptError } from "../../src/errors.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { distinctRecipients, requireRecipients, wrapForAll } from "../../src/layer/wrap.js";
import { parsePrivateOptions } from "../../src/cipher/options.js";
import { expectCode } from "../support/codes.js";
import { NONCE, plainRecipient, SYMKEY } from "../support/layers.js";

const options = { symkey: SYMKEY, nonce: NONCE, digest: "" };
const binding = Buffer.from("the place of the layer");

/** Keeps what it is given to wrap, itself and as a copy. */
function keeping(given: Uint8Array[], copies: Buffer[], scheme = "test"): Recipient {
  return {
    scheme,
    wrap(secret) {
      given.push(secret);
      copies.push(Buffer.from(secret));
      return Promise.resolve(Buffer.from("wrapped"));
    },
  };
}

function failing(reason: unknown): Recipient {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as others may do
  return { scheme: "test", wrap: () => Promise.reject(reason) };
}

describe("wrapForAll", () => {
  it("returns the wrapped keys in the order of the recipients", async () => {
    const wrapped = await wrapForAll(options, [plainRecipient("b"), plainRecipient("a")]);
    expect(wrapped.map(({ scheme }) => scheme)).toEqual(["b", "a"]);
    for (const { bytes } of wrapped) expect(parsePrivateOptions(bytes)).toEqual(options);
  });

  it("leaves the binding out only where there is no room for it", async () => {
    const tight: Recipient = { ...plainRecipient("tight"), roomForBinding: false };
    const roomy: Recipient = { ...plainRecipient("roomy"), roomForBinding: true };
    const recipients = [tight, plainRecipient("unknown"), roomy];
    const wrapped = await wrapForAll({ ...options, binding }, recipients);
    expect(wrapped.map(({ bytes }) => parsePrivateOptions(bytes).binding)).toEqual([
      undefined,
      binding,
      binding,
    ]);
  });

  it("wipes every copy of the secret, also after a failure", async () => {
    const [given, copies]: [Uint8Array[], Buffer[]] = [[], []];
    await wrapForAll(options, [keeping(given, copies), keeping(given, copies)]);
    await expect(
      wrapForAll(options, [
        {
          scheme: "test",
          wrap(secret) {
            given.push(secret);
            return Promise.reject(new Error("failed"));
          },
        },
      ]),
    ).rejects.toThrow("failed");
    expect(given).toHaveLength(3);
    for (const each of given) expect(each.every((byte) => byte === 0)).toBe(true);
    for (const each of copies) expect(parsePrivateOptions(each)).toEqual(options);
  });

  it("gives each recipient a copy of its own", async () => {
    const [given, copies]: [Uint8Array[], Buffer[]] = [[], []];
    const spoiling: Recipient = {
      scheme: "test",
      wrap(secret) {
        secret.fill(1);
        return Promise.resolve(Buffer.from("wrapped"));
      },
    };
    await wrapForAll(options, [spoiling, keeping(given, copies)]);
    expect(parsePrivateOptions(copies[0]!)).toEqual(options);
  });

  it.each<[string, unknown]>([
    ["an empty one", new Uint8Array()],
    ["nothing", undefined],
    ["a text", "wrapped"],
    ["an ArrayBuffer", new ArrayBuffer(8)],
    ["a view of 16-bit words", new Uint16Array(8)],
  ])("rejects %s instead of a wrapped key", async (_, result) => {
    const wrong: Recipient = { scheme: "test", wrap: () => Promise.resolve(result as Uint8Array) };
    const error = await expectCode(wrapForAll(options, [wrong]), "WRAP_FAILED");
    expect(error.message).toContain("the test recipient");
  });

  it("passes on errors of this library, and explains others", async () => {
    const known = new OcicryptError("KEY_UNSUPPORTED", "not this key");
    await expect(wrapForAll(options, [failing(known)])).rejects.toBe(known);
    const cause = new Error("on fire");
    const error = await expectCode(wrapForAll(options, [failing(cause)]), "WRAP_FAILED");
    expect(error.message).toContain("on fire");
    expect(error.cause).toBe(cause);
    // A rejection with something else than an error becomes an error, so that it can be redacted.
    for (const reason of [undefined, "text", null]) {
      await expectCode(wrapForAll(options, [failing(reason)]), "WRAP_FAILED");
    }
  });

  it("shows no secret in the error of a recipient", async () => {
    const telling: Recipient = {
      scheme: "test",
      wrap: (secret) =>
        Promise.reject(new Error(`cannot wrap ${Buffer.from(secret).toString("base64")}`)),
    };
    const error = await wrapForAll(options, [telling]).catch((reason: unknown) => reason);
    expect(isOcicryptError(error, "WRAP_FAILED")).toBe(true);
    const secret = Buffer.from(JSON.stringify({ symkey: SYMKEY.toString("base64") }));
    expect(String(error)).not.toContain(secret.toString("base64").slice(0, 20));
    expect(String(error)).toContain("[redacted]");
  });

  it("ends with the signal's reason, even if a recipient ignores the signal", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const waiting: Recipient = {
      scheme: "test",
      wrap: () =>
        new Promise(() =>
          setTimeout(() => {
            controller.abort(reason);
          }, 1),
        ),
    };
    await expect(wrapForAll(options, [waiting], controller.signal)).rejects.toBe(reason);
  });

  it("gives recipients a signal only if the caller has one", async () => {
    const signals: unknown[] = [];
    const listening: Recipient = {
      scheme: "test",
      wrap(secret, more) {
        signals.push(more?.signal);
        return Promise.resolve(Buffer.from(secret));
      },
    };
    await wrapForAll(options, [listening]);
    await wrapForAll(options, [listening], new AbortController().signal);
    expect(signals).toEqual([undefined, expect.any(AbortSignal)]);
  });
});

describe("distinctRecipients", () => {
  const named = (thumbprint?: string, scheme = "jwe", algorithm?: string): Recipient => ({
    ...plainRecipient(scheme),
    ...(thumbprint !== undefined && { thumbprint }),
    ...(algorithm !== undefined && { algorithm }),
  });

  it("keeps the first of those with one key, scheme and algorithm", () => {
    const first = named("a");
    const other = named("b");
    expect(distinctRecipients([first, named("a"), other, named("b"), named("a")])).toEqual([
      first,
      other,
    ]);
    expect(distinctRecipients([first, named("a")])[0]).toBe(first);
  });

  it.each([
    ["another scheme", named("a", "pkcs7")],
    ["another algorithm", named("a", "jwe", "RSA-OAEP-256")],
    ["no thumbprint", named()],
  ])("keeps one with %s", (_, other) => {
    expect(distinctRecipients([named("a"), other])).toHaveLength(2);
  });

  it("keeps all recipients without a thumbprint", () => {
    expect(distinctRecipients([named(), named(), named()])).toHaveLength(3);
  });
});

describe("recipients", () => {
  it("must not be none", async () => {
    await expectCode(wrapForAll(options, []), "NO_RECIPIENTS");
    await expectCode(() => distinctRecipients([]), "NO_RECIPIENTS");
  });

  it.each(["jwe", "provider.name", "provider.a.b/c", "x9"])("may have the scheme %j", (scheme) => {
    expect(() => {
      requireRecipients([plainRecipient(scheme)]);
    }).not.toThrow();
  });

  it.each(["", "JWE", " jwe", "jwe ", "provider.", "provider.a b", "provider.a,b", ".a", "j-e"])(
    "must not have the scheme %j",
    (scheme) => {
      expect(() => {
        requireRecipients([plainRecipient("jwe"), plainRecipient(scheme)]);
      }).toThrow(TypeError);
    },
  );
});
