import { describe, expect, it } from "vitest";
import { OcicryptError, type ErrorCode } from "../../src/errors.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key } from "../../src/keywrap/types.js";
import { unwrapOnly } from "../../src/layer/unwrap.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import {
  base64,
  craftLayer,
  ENC,
  foreignKey,
  openKey,
  rightPrivateOptions,
  TAR,
} from "../support/layers.js";
import { wipedSizes } from "../support/wipes.js";
import { encryptedDescriptor, jweVector, vectorFile } from "../support/vectors.js";

const RIGHT = base64(JSON.stringify(rightPrivateOptions));
const GARBAGE = base64("garbage");
const RECORDED = `sha256:${"c".repeat(64)}`;

function withLists(lists: Record<string, string>): {
  mediaType: string;
  annotations: Record<string, string>;
} {
  const entries = Object.entries(lists).map(([scheme, list]) => [`${ENC}keys.${scheme}`, list]);
  return deepFreeze({
    mediaType: `${TAR}+encrypted`,
    annotations: Object.fromEntries(entries) as Record<string, string>,
  });
}

function failingKey(reason: unknown, scheme = "test"): Key {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as others may do
  return { scheme, unwrap: () => Promise.reject(reason) };
}

/** Opens only the wrapped key with this text. */
function keyFor(text: string): Key {
  return {
    scheme: "test",
    unwrap: (wrapped) =>
      Promise.resolve(
        Buffer.from(wrapped).toString() === text
          ? Buffer.from(JSON.stringify({ ...rightPrivateOptions, digest: RECORDED }))
          : null,
      ),
  };
}

describe("unwrapOnly", () => {
  it("reports which key opened which wrapped key", async () => {
    const right = keyFor("b");
    const keys = [openKey("other"), foreignKey(), keyFor("z"), right];
    const descriptor = withLists({ test: ["a", "b", "b"].map(base64).join(",") });
    expect(await unwrapOnly(descriptor, { keys })).toEqual({
      scheme: "test",
      index: 1,
      key: right,
      recordedDigest: RECORDED,
    });
  });

  it.each<[string, Record<string, string>, string, number]>([
    ["in a list of one", { test: RIGHT }, "test", 0],
    ["behind a leading comma", { test: `,${RIGHT}` }, "test", 1],
    ["before a trailing comma", { test: `${RIGHT},` }, "test", 0],
    ["behind a double comma", { test: `${GARBAGE},,${RIGHT}` }, "test", 2],
    ["behind one that is not base64", { test: `!!,${RIGHT}` }, "test", 1],
    ["behind one with a space", { test: ` ${RIGHT},${RIGHT}` }, "test", 1],
    ["behind one without padding", { test: `YQ,${RIGHT}` }, "test", 1],
    [
      "with line breaks in it",
      { test: `${RIGHT.slice(0, 40)}\n${RIGHT.slice(40)}\r\n` },
      "test",
      0,
    ],
    ["behind garbage", { test: `${GARBAGE},${GARBAGE},${RIGHT}` }, "test", 2],
    ["behind a scheme without keys", { jwe: GARBAGE, test: RIGHT }, "test", 0],
    ["behind a scheme over the limit", { other: ",".repeat(2000), test: RIGHT }, "test", 0],
    ["the last of 1024", { test: `${`${GARBAGE},`.repeat(1023)}${RIGHT}` }, "test", 1023],
  ])("finds the right one %s", async (_, lists, scheme, index) => {
    const keys = [openKey(), openKey("other")];
    expect(await unwrapOnly(withLists(lists), { keys })).toMatchObject({ scheme, index });
  });

  it.each<[string, Key]>([
    ["rejects", failingKey(new Error("token"))],
    ["rejects with an error of the library", failingKey(new OcicryptError("TOKEN_FAILED", "gone"))],
    ["rejects with no error", failingKey("gone")],
    [
      "throws at once",
      {
        scheme: "test",
        unwrap: () => {
          throw new Error("at once");
        },
      },
    ],
    ["returns garbage", { scheme: "test", unwrap: () => Promise.resolve(Buffer.from("garbage")) }],
    ["returns nothing", { scheme: "test", unwrap: () => Promise.resolve(new Uint8Array(0)) }],
  ])("opens in spite of a key that %s", async (_, bad) => {
    const right = openKey();
    const opening = await unwrapOnly(withLists({ test: RIGHT }), { keys: [bad, right] });
    expect(opening.key).toBe(right);
  });

  it.each<[string, Record<string, string>, Key[], ErrorCode]>([
    ["no key", { test: RIGHT }, [], "NO_KEYS"],
    ["a key for another scheme", { test: RIGHT }, [openKey("other")], "NO_MATCHING_KEY"],
    ["a foreign key", { test: RIGHT }, [foreignKey()], "NO_MATCHING_KEY"],
    ["several foreign keys", { test: RIGHT }, [foreignKey(), foreignKey()], "NO_MATCHING_KEY"],
    ["no wrapped key", {}, [openKey()], "ANNOTATION_EMPTY"],
    ["an empty list", { test: "" }, [openKey()], "ANNOTATION_EMPTY"],
    ["only commas", { test: ",,," }, [openKey()], "ANNOTATION_EMPTY"],
    ["an element that is not base64", { test: "!" }, [openKey()], "ANNOTATION_BASE64"],
    ["no padding", { test: RIGHT.slice(0, -1) }, [openKey()], "ANNOTATION_BASE64"],
    ["a space before it", { test: ` ${RIGHT}` }, [openKey()], "ANNOTATION_BASE64"],
    ["the URL alphabet", { test: "-_-_" }, [openKey()], "ANNOTATION_BASE64"],
    [
      "a list over the limit",
      { test: "A".repeat(1024 * 1024 + 4) },
      [openKey()],
      "ANNOTATION_TOO_LARGE",
    ],
    ["1025 elements", { test: `${GARBAGE},`.repeat(1025) }, [openKey()], "ANNOTATION_TOO_LARGE"],
    ["garbage unwrapped", { test: GARBAGE }, [openKey()], "PRIVATE_OPTIONS_INVALID"],
    ["null unwrapped", { test: base64("null") }, [openKey()], "PRIVATE_OPTIONS_INVALID"],
    ["an empty object unwrapped", { test: base64("{}") }, [openKey()], "SYMKEY_INVALID"],
    [
      "garbage unwrapped before a foreign one",
      { test: GARBAGE },
      [openKey(), foreignKey()],
      "PRIVATE_OPTIONS_INVALID",
    ],
    [
      "a failure of the library's",
      { test: RIGHT },
      [failingKey(new OcicryptError("PIN_WRONG", "no"))],
      "PIN_WRONG",
    ],
    [
      "the first of two failures",
      { test: RIGHT },
      [
        failingKey(new OcicryptError("PIN_WRONG", "a")),
        failingKey(new OcicryptError("TOKEN_FAILED", "b")),
      ],
      "PIN_WRONG",
    ],
    [
      "a failure and a foreign key",
      { test: RIGHT },
      [failingKey(new OcicryptError("PIN_WRONG", "no")), foreignKey()],
      "NO_MATCHING_KEY",
    ],
    [
      "another failure",
      { test: RIGHT },
      [failingKey(new Error("ECONNREFUSED"))],
      "NO_MATCHING_KEY",
    ],
    ["a failure of no kind", { test: RIGHT }, [failingKey("x")], "NO_MATCHING_KEY"],
  ])("fails with %s", async (_, lists, keys, code) => {
    await expectCode(unwrapOnly(withLists(lists), { keys: deepFreeze(keys) }), code);
  });

  it("has all failures as the cause if no key matches", async () => {
    const first = new Error("ECONNREFUSED");
    const second = new OcicryptError("PIN_WRONG", "no");
    const keys = [failingKey(first), failingKey(second), foreignKey()];
    const error = await expectCode(
      unwrapOnly(withLists({ test: RIGHT }), { keys }),
      "NO_MATCHING_KEY",
    );
    expect((error.cause as AggregateError).errors).toEqual([first, second]);
  });

  it.each<[string, Record<string, string>, ErrorCode]>([
    ["does not open the layer", { test: RIGHT }, "NO_MATCHING_KEY"],
    ["the layer has no wrapped key", {}, "ANNOTATION_EMPTY"],
  ])("names the layer if it has a digest: %s", async (what, lists, code) => {
    const digest = `sha256:${"a".repeat(64)}`;
    const keys = [foreignKey()];
    const plain = await expectCode(unwrapOnly(withLists(lists), { keys }), code);
    expect(plain.message).toContain(what);
    const named = await expectCode(unwrapOnly({ ...withLists(lists), digest }, { keys }), code);
    expect(named.message).toBe(plain.message.replace("the layer", `the layer "${digest}"`));
  });

  it("has no cause if nothing failed", async () => {
    const keys = [foreignKey()];
    const error = await expectCode(
      unwrapOnly(withLists({ test: RIGHT }), { keys }),
      "NO_MATCHING_KEY",
    );
    expect(error.cause).toBeUndefined();
  });

  it("rejects a plain layer before it checks the keys", async () => {
    await expectCode(unwrapOnly({ mediaType: TAR }, { keys: [] }), "NOT_ENCRYPTED");
    const twice = { ...withLists({ test: RIGHT }), mediaType: `${TAR}+encrypted+encrypted` };
    await expectCode(unwrapOnly(twice, { keys: [openKey()] }), "DESCRIPTOR_INVALID");
  });

  it("wipes the unwrapped bytes, whether valid or not", async () => {
    for (const text of [JSON.stringify(rightPrivateOptions), "garbage", "{}"]) {
      const secret = Buffer.from(text);
      const key: Key = { scheme: "test", unwrap: () => Promise.resolve(secret) };
      await unwrapOnly(withLists({ test: RIGHT }), { keys: [key] }).catch(() => undefined);
      expect(secret).toEqual(Buffer.alloc(text.length));
    }
  });

  it("tries keys only on wrapped keys of their scheme", async () => {
    const asked: string[] = [];
    const asking = (scheme: string): Key => ({
      scheme,
      unwrap: (wrapped) => {
        asked.push(`${scheme}: ${Buffer.from(wrapped).toString()}`);
        return Promise.resolve(null);
      },
    });
    const descriptor = withLists({
      a: `${base64("1")},${base64("2")}`,
      b: base64("3"),
      c: base64("4"),
    });
    const keys = [asking("b"), asking("a"), asking("d")];
    await expectCode(unwrapOnly(descriptor, { keys }), "NO_MATCHING_KEY");
    expect(asked.sort()).toEqual(["a: 1", "a: 2", "b: 3"]);
  });

  it("stops trying once it is aborted", async () => {
    const controller = new AbortController();
    let tried = 0;
    const key: Key = {
      scheme: "test",
      unwrap: () => {
        tried++;
        controller.abort();
        return Promise.resolve(null);
      },
    };
    const { signal } = controller;
    const descriptor = withLists({ test: `${GARBAGE},${GARBAGE}` });
    await expect(unwrapOnly(descriptor, { keys: [key], signal })).rejects.toBe(signal.reason);
    expect(tried).toBe(1);
  });

  it("notices an abort while keys reject a thousand wrapped keys", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    let tried = 0;
    const key: Key = {
      scheme: "test",
      unwrap: () => {
        if (tried++ === 0) setImmediate(() => { controller.abort(reason); }); // prettier-ignore
        return Promise.resolve(null);
      },
    };
    const descriptor = withLists({ test: Array(1024).fill(GARBAGE).join() });
    const unwrapping = unwrapOnly(descriptor, { keys: [key], signal: controller.signal });
    await expect(unwrapping).rejects.toBe(reason);
    expect(tried).toBeLessThan(10);
  });

  it("counts the attempts of each key on all wrapped keys together", async () => {
    const { signal } = new AbortController();
    const seen: [string, unknown, unknown][] = [];
    const counting = (label: string): Key => ({
      ...{ scheme: "test", label },
      unwrap(_, more) {
        seen.push([label, more?.attempts, more?.signal]);
        return Promise.resolve(null);
      },
    });
    const descriptor = withLists({ test: `${GARBAGE},${RIGHT}` });
    const keys = [counting("a"), counting("b")];
    await expectCode(unwrapOnly(descriptor, { keys, signal }), "NO_MATCHING_KEY");
    expect(seen.map(([label]) => label)).toEqual(["a", "b", "a", "b"]);
    const [[, a], [, b], [, again], [, later]] = seen as [(typeof seen)[0], (typeof seen)[0], (typeof seen)[0], (typeof seen)[0]]; // prettier-ignore
    expect(a).toBeDefined();
    expect(again).toBe(a);
    expect(later).toBe(b);
    expect(b).not.toBe(a);
    for (const [, , given] of seen) expect(given).toBe(signal);
  });

  it.each([
    [["a"], "the given key does not open"],
    [["a", "a"], "the given key does not open"],
    [["a", "b"], "none of the 2 keys opens"],
    [[undefined], "the given key does not open"],
    [[undefined, undefined, "a"], "none of the 3 keys opens"],
  ])("counts the files of keys in its message: %j", async (labels, said) => {
    const keys = labels.map((label): Key => ({
      ...foreignKey(),
      ...(label !== undefined && { label }),
    }));
    const error = await expectCode(unwrapOnly(withLists({ test: RIGHT }), { keys }), "NO_MATCHING_KEY"); // prettier-ignore
    expect(error.message.startsWith(`${said} the layer`)).toBe(true);
  });

  it.each([
    [1, "s0"],
    [10, "s0, s1, s2, s3, s4, s5, s6, s7, s8, s9"],
    [11, "s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, …"],
  ])("names up to ten of %i schemes in its message", async (count, named) => {
    const schemes = Array.from({ length: count }, (_, i) => [`s${String(i)}`, RIGHT]);
    const descriptor = withLists(Object.fromEntries(schemes) as Record<string, string>);
    const error = await expectCode(
      unwrapOnly(descriptor, { keys: [openKey("other")] }),
      "NO_MATCHING_KEY",
    );
    expect(error.message).toMatch(new RegExp(`recipients use ${named}$`));
  });

  it("shortens the names of schemes in its message", async () => {
    const descriptor = withLists({ ["x".repeat(1_000_000)]: RIGHT });
    const failed = unwrapOnly(descriptor, { keys: [openKey()] });
    expect((await expectCode(failed, "NO_MATCHING_KEY")).message.length).toBeLessThan(2000);
  });

  it("shortens a media type in its message", async () => {
    const failed = unwrapOnly({ mediaType: "x".repeat(1_000_000) }, { keys: [openKey()] });
    expect((await expectCode(failed, "NOT_ENCRYPTED")).message.length).toBeLessThan(2000);
  });

  it("needs neither blob nor public options", async () => {
    const vector = jweVector("added-general");
    const descriptor = encryptedDescriptor(vector);
    const name = `${ENC}keys.jwe`;
    descriptor.annotations = { [name]: vector.annotations[name]! };
    const opening = async (name: string): Promise<number> => {
      const key = jwe.key(vectorFile(`keys/${name}.pem`), { label: name });
      const { index, scheme, key: opened } = await unwrapOnly(descriptor, { keys: [key] });
      expect([scheme, opened.label]).toEqual(["jwe", name]);
      return index;
    };
    expect(await Promise.all(["rsa-2048", "ec-p256", "rsa-3072", "ec-p384"].map(opening))).toEqual([
      0, 0, 1, 1,
    ]);
  });

  it("returns nothing secret", async () => {
    const { descriptor } = craftLayer(Buffer.alloc(1));
    const key = openKey();
    const opening = await unwrapOnly(descriptor, { keys: [key] });
    expect(Object.keys(opening).sort()).toEqual(["index", "key", "recordedDigest", "scheme"]);
  });
});

it("skips a key that unwraps to something other than bytes", async () => {
  const key = { scheme: "test", unwrap: () => Promise.resolve("text" as unknown as Uint8Array) };
  const annotations = { [`${ENC}keys.test`]: base64("a") };
  const descriptor = { mediaType: `${TAR}+encrypted`, annotations };
  await expectCode(unwrapOnly(descriptor, { keys: [key] }), "NO_MATCHING_KEY");
});

it("wipes the unwrapped secret", async () => {
  const { descriptor } = craftLayer(Buffer.from("x"));
  const sizes = await wipedSizes(() => unwrapOnly(descriptor, { keys: [openKey()] }));
  expect(sizes).toEqual(expect.arrayContaining([32, 16]));
});
