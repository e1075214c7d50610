import { describe, expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key } from "../../src/keywrap/types.js";
import { explainKey, listRecipients } from "../../src/layer/explain.js";
import { deepFreeze } from "../support/freeze.js";
import { base64, ENC, foreignKey, openKey, rightPrivateOptions, TAR } from "../support/layers.js";
import { encryptedDescriptor, jweVector, vectorFile } from "../support/vectors.js";
import { wipedSizes } from "../support/wipes.js";

const RIGHT = base64(JSON.stringify(rightPrivateOptions));

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

describe("listRecipients", () => {
  it("reports the algorithm and kid of each recipient of a JWE", async () => {
    const recipients = await listRecipients(encryptedDescriptor(jweVector("recipients-2-jwk")));
    expect(recipients).toEqual([
      { scheme: "jwe", index: 0, algorithm: "RSA-OAEP-256", keyId: "rsa-2048" },
      { scheme: "jwe", index: 0, algorithm: "ECDH-ES+A128KW", keyId: "ec-p256" },
    ]);
  });

  it("counts the elements of a list", async () => {
    const recipients = await listRecipients(encryptedDescriptor(jweVector("added-same-twice")));
    expect(recipients.map(({ index, algorithm }) => [index, algorithm])).toEqual([
      [0, "ECDH-ES+A256KW"],
      [1, "ECDH-ES+A256KW"],
      [2, "ECDH-ES+A256KW"],
    ]);
  });

  it("reports unknown schemes and problems instead of throwing", async () => {
    const recipients = await listRecipients(
      withLists({ unknown: RIGHT, jwe: `,!,${base64("x")},${base64("{}")}`, "": "" }),
    );
    expect(recipients.map(({ scheme, index }) => [scheme, index])).toEqual([
      ["unknown", 0],
      ["jwe", 0],
      ["jwe", 1],
      ["jwe", 2],
      ["jwe", 3],
      ["", 0],
    ]);
    expect(recipients[0]).toEqual({ scheme: "unknown", index: 0 });
    for (const { problem } of recipients.slice(1)) expect(problem).toMatch(/\w+ \w+/);
  });

  it("returns nothing for a plain layer", async () => {
    expect(await listRecipients({ mediaType: TAR })).toEqual([]);
  });

  it("finds no scheme with the name of an inherited member", async () => {
    const names = ["constructor", "__proto__", "toString", "hasOwnProperty"];
    const recipients = await listRecipients(
      withLists(Object.fromEntries(names.map((name) => [name, RIGHT]))),
    );
    for (const { problem, algorithm } of recipients) {
      expect(problem).toBeUndefined();
      expect(algorithm).toBeUndefined();
    }
  });
});

describe("explainKey", () => {
  it("says which wrapped key a key opens", async () => {
    const key = openKey();
    const report = await explainKey(withLists({ test: `!,${RIGHT}` }), { key });
    expect(report).toEqual({ opens: true, index: 1, reasons: [] });
  });

  it("gives a reason for each wrapped key that a key does not open", async () => {
    const reasons = ["first", "second"];
    let calls = 0;
    const key: Key = { ...foreignKey(), explain: () => reasons[calls++]! };
    const report = await explainKey(withLists({ test: `${RIGHT},,${RIGHT}`, other: RIGHT }), {
      key,
    });
    expect(report.opens).toBe(false);
    expect(report.reasons).toHaveLength(3);
    expect([report.reasons[0], report.reasons[2]]).toEqual(reasons);
    expect(report.reasons[1]).toMatch(/empty/);
    expect("index" in report).toBe(false);
  });

  it.each<[string, Key, string | RegExp]>([
    [
      "rejects",
      { scheme: "test", unwrap: () => Promise.reject(new Error("no token")) },
      "no token",
    ],
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as others may do
    ["rejects with no error", { scheme: "test", unwrap: () => Promise.reject("x") }, /unknown/],
    ["has no explanation", foreignKey(), /another key/],
    [
      "cannot explain",
      {
        ...foreignKey(),
        explain: () => {
          throw new Error("no idea");
        },
      },
      "no idea",
    ],
    [
      "unwraps garbage",
      { scheme: "test", unwrap: () => Promise.resolve(Buffer.from("x")) },
      /JSON/,
    ],
    ["is of another scheme", foreignKey("other"), /no other recipient/],
  ])("reports a key that %s", async (_, key, reason) => {
    const report = await explainKey(withLists({ test: RIGHT }), { key });
    expect(report).toEqual({
      opens: false,
      reasons: [expect.stringMatching(reason) as unknown],
    });
  });

  it.each([
    ["keys/rsa-2048.pem", "jwk-rsa-oaep", /for another key than this one \(RSA-2048\)/],
    ["keys/rsa-2048.pem", "pem-ec-p256", /ECDH-ES\+A256KW on P-256.*RSA-2048/],
    ["keys/ec-p384.pem", "pem-ec-p256", /ECDH-ES\+A256KW on P-256.*EC P-384/],
    ["keys/rsa-2048.jwk", "jwk-rsa-oaep", /kid "rsa-3072".*"rsa-2048"/],
  ])("says why %s does not open %s", async (path, name, reason) => {
    const key = jwe.key(vectorFile(path));
    const report = await explainKey(encryptedDescriptor(jweVector(name)), { key });
    expect(report.opens).toBe(false);
    expect(report.reasons).toEqual([expect.stringMatching(reason)]);
  });

  it("wipes the unwrapped bytes", async () => {
    const secret = Buffer.from(JSON.stringify(rightPrivateOptions));
    const key: Key = { scheme: "test", unwrap: () => Promise.resolve(secret) };
    await explainKey(withLists({ test: RIGHT }), { key });
    expect(secret.every((byte) => byte === 0)).toBe(true);
  });

  it("wipes unwrapped bytes that are not valid", async () => {
    const secret = Buffer.from(JSON.stringify({ ...rightPrivateOptions, cipheroptions: null }));
    const key: Key = { scheme: "test", unwrap: () => Promise.resolve(secret) };
    await explainKey(withLists({ test: RIGHT }), { key });
    expect(secret.every((byte) => byte === 0)).toBe(true);
  });

  it("rejects with the reason of an aborted signal", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(explainKey(withLists({ test: RIGHT }), { key: openKey(), signal })).rejects.toBe(
      signal.reason,
    );
  });

  it("rejects with the reason when it is aborted while the key unwraps", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const key: Key = {
      scheme: "test",
      unwrap: (_, options) => {
        controller.abort(reason);
        return Promise.reject(options?.signal?.reason as Error);
      },
    };
    const { signal } = controller;
    const explained = explainKey(withLists({ test: RIGHT }), { key, signal });
    await expect(explained).rejects.toBe(reason);
  });
});

it("wipes the secret of a layer that a key opens, and the key in it", async () => {
  const secret = Buffer.from(JSON.stringify(rightPrivateOptions)).byteLength;
  const sizes = await wipedSizes(() => explainKey(withLists({ test: RIGHT }), { key: openKey() }));
  expect(sizes).toEqual(expect.arrayContaining([32, 16, secret]));
});
