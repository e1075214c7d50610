import { describe, expect, it } from "vitest";
import { vault, type VaultKeyOptions } from "../../../src/keyserver/vault/index.js";
import { describe as describeWrapped } from "../../../src/keyserver/vault/wrapped.js";
import { reply } from "../../registry/server.js";
import { expectCode } from "../../support/codes.js";
import { type VaultDouble, vaultDouble } from "../../support/vault-double.js";
import { vaultSuite } from "../../support/vault-suite.js";

const SECRET = Buffer.alloc(200, "s");

async function setUp(): Promise<{
  server: VaultDouble;
  options: VaultKeyOptions;
  wrapped: Uint8Array;
}> {
  const server = await vaultDouble();
  const auth = { method: "token", token: server.rootToken } as const;
  const options = { address: server.url, auth, retryDelay: 1 };
  const wrapped = await vault.recipient("app", options).wrap(Uint8Array.from(SECRET));
  server.requests.length = 0;
  return { server, options, wrapped };
}

describe("the double", () => {
  vaultSuite(async () => {
    const double = await vaultDouble();
    return { address: double.url, rootToken: double.rootToken };
  });
});

const changed = (wrapped: Uint8Array, changes: object): Uint8Array => {
  const envelope = JSON.parse(Buffer.from(wrapped).toString()) as object;
  return Buffer.from(JSON.stringify({ ...envelope, ...changes }));
};

describe("a request", () => {
  it("contains neither the secret nor its base64, and goes to the configured server", async () => {
    const { server, options, wrapped } = await setUp();
    const other = await vaultDouble();
    const moved = changed(wrapped, { server: other.url });
    expect(Buffer.from((await vault.key(options).unwrap(moved))!)).toEqual(SECRET);
    expect(other.requests).toEqual([]);
    expect(server.log()).toEqual(["POST /v1/transit/decrypt/app"]);
    await vault.recipient("app", options).wrap(Uint8Array.from(SECRET));
    const { plaintext } = JSON.parse(server.requests.at(-1)!.body.toString()) as {
      plaintext: string;
    };
    expect(Buffer.from(plaintext, "base64")).toHaveLength(32);
    expect(JSON.stringify(server.requests)).not.toContain(SECRET.toString("base64").slice(0, 20));
  });

  it("contains the namespace and the path prefix of the server", async () => {
    const { server, options, wrapped } = await setUp();
    const own = {
      ...options,
      namespace: "/team/a/",
      address: `${server.url}/vault`,
      mount: "kms/eu",
    };
    server.intercept = (request) => {
      expect(request.headers["x-vault-namespace"]).toBe("team/a");
      expect(request.headers["x-vault-request"]).toBe("true");
      expect(request.target).toMatch(/^\/vault\/v1\/kms\/eu\/(?:en|de)crypt\/app$/);
      request.target = request.target.replace("/vault", "").replace("kms/eu", "transit");
      return false;
    };
    const made = await vault.recipient("app", own).wrap(Uint8Array.from(SECRET));
    expect(describeWrapped(made)[0]).toMatchObject({ keyId: "team/a/kms/eu/app" });
    expect(Buffer.from((await vault.key(own).unwrap(made))!)).toEqual(SECRET);
    // Its token is not used for another engine or namespace, whatever the image says.
    expect(await vault.key(own).unwrap(wrapped)).toBeNull();
    expect(await vault.key({ ...own, namespace: undefined }).unwrap(made)).toBeNull();
    expect(vault.key(own).explain!(wrapped)).toContain("transit/app of Vault, not team/a/kms/eu/…");
  });

  it("logs in with the service account of Kubernetes", async () => {
    const { server, options, wrapped } = await setUp();
    const rules = 'path "transit/decrypt/app" { capabilities = ["update"] }';
    await fetch(`${server.url}/v1/sys/policies/acl/user`, {
      method: "POST",
      headers: { "x-vault-token": server.rootToken },
      body: JSON.stringify({ policy: rules }),
    });
    server.jwts.add("eyJ.first");
    const jwts = ["eyJ.first", "eyJ.stolen"];
    const auth = { method: "kubernetes", role: "app", jwt: () => jwts.shift() ?? "" } as const;
    const key = vault.key({ ...options, auth });
    expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
    await expectCode(vault.key({ ...options, auth }).unwrap(wrapped), "KEY_SERVER_UNAUTHORIZED");
  });
});

describe("a wrapped key", () => {
  it.each([
    ["that is not JSON", () => Buffer.from("{"), "WRAPPED_KEY_INVALID"],
    ["without a ciphertext", (w: Uint8Array) => changed(w, { ciphertext: undefined }), "WRAPPED_KEY_INVALID"],
    ["with a path as key", (w: Uint8Array) => changed(w, { key: "../../sys/seal" }), "WRAPPED_KEY_INVALID"],
    ["with a number as key", (w: Uint8Array) => changed(w, { key: 1 }), "WRAPPED_KEY_INVALID"],
    ["with a path as mount", (w: Uint8Array) => changed(w, { mount: "transit/../sys" }), "WRAPPED_KEY_INVALID"],
    ["with a short sealed part", (w: Uint8Array) => changed(w, { sealed: "AAAA" }), "WRAPPED_KEY_INVALID"],
    ["with a changed sealed part", (w: Uint8Array) => changed(w, { sealed: Buffer.alloc(99).toString("base64") }), "WRAPPED_KEY_INVALID"],
    ["with a changed ciphertext", (w: Uint8Array) => changed(w, { ciphertext: `vault:v1:${"A".repeat(80)}` }), "WRAPPED_KEY_INVALID"],
    ["of a version that Vault does not have", (w: Uint8Array) => changed(w, { ciphertext: `vault:v9:${"A".repeat(80)}` }), "WRAPPED_KEY_INVALID"],
    ["of a deleted key", (w: Uint8Array) => changed(w, { key: "gone" }), "KEY_SERVER_KEY_NOT_FOUND"],
  ] as const)("%s is refused", async (_, change, code) => {
    const { options, wrapped } = await setUp();
    await expectCode(vault.key(options).unwrap(change(wrapped)), code);
  }); // prettier-ignore

  it.each(["AGE", '{"kid":"x","iv":"y"}', '{"system":"tang"}'])(
    "of another key provider is left to it: %s",
    async (text) => {
      const { server, options } = await setUp();
      const key = vault.key(options);
      expect(await key.unwrap(Buffer.from(text))).toBeNull();
      expect(key.explain!(Buffer.from(text))).toBe("it is from another key provider of this name");
      expect(describeWrapped(Buffer.from(text))).toEqual([]);
      await expectCode(vault.rewrap(Buffer.from(text), options), "NO_MATCHING_KEY");
      expect(server.requests).toEqual([]);
    },
  );
});

const json = (value: unknown): string => JSON.stringify(value);

describe("an answer", () => {
  it.each([
    ["that is a web page", 200, "<html>sign in</html>", "KEY_SERVER_ANSWER_INVALID"],
    ["without a plaintext", 200, json({ data: {} }), "KEY_SERVER_ANSWER_INVALID"],
    ["with a plaintext that is not base64", 200, json({ data: { plaintext: "***" } }), "KEY_SERVER_ANSWER_INVALID"],
    ["with a key of 16 bytes", 200, json({ data: { plaintext: Buffer.alloc(16).toString("base64") } }), "KEY_SERVER_ANSWER_INVALID"],
    ["with another key", 200, json({ data: { plaintext: Buffer.alloc(32).toString("base64") } }), "WRAPPED_KEY_INVALID"],
    ["of 1 MiB", 200, " ".repeat(2 ** 20), "KEY_SERVER_ANSWER_INVALID"],
    ["that redirects", 307, "", "KEY_SERVER_ANSWER_INVALID"],
    ["400 without reasons", 400, "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["400 about a derived key", 400, json({ errors: ["missing 'context' for key derivation; the key was created using a derived key"] }), "KEY_UNSUPPORTED"],
    ["401", 401, "", "KEY_SERVER_UNAUTHORIZED"],
    ["403", 403, json({ errors: ["permission denied"] }), "KEY_SERVER_UNAUTHORIZED"],
    ["404 of a missing engine", 404, json({ errors: ['no handler for route "transit/decrypt/app". route entry not found.'] }), "KEY_SERVER_KEY_NOT_FOUND"],
    ["409", 409, "", "KEY_SERVER_ANSWER_INVALID"],
    ["410", 410, "", "KEY_SERVER_KEY_NOT_FOUND"],
    ["422", 422, "", "KEY_SERVER_ANSWER_INVALID"],
    ["429", 429, json({ errors: ["request path is rate limited"] }), "KEY_SERVER_UNREACHABLE"],
    ["503 of a sealed server", 503, json({ errors: ["Vault is sealed"] }), "KEY_SERVER_UNREACHABLE"],
  ] as const)("%s is an error", async (_, status, body, code) => {
    const { server, options, wrapped } = await setUp();
    const other = await vaultDouble();
    server.intercept = (_request, response) => reply(response, status, { location: other.url }, body);
    const error = await expectCode(vault.key(options).unwrap(wrapped), code);
    expect(error.message).not.toContain(server.rootToken);
    expect(other.requests).toEqual([]);
  }); // prettier-ignore

  it("is rejected if its ciphertext has another form", async () => {
    const { server, options } = await setUp();
    const body = json({ data: { ciphertext: "x" } });
    server.intercept = (_, response) => reply(response, 200, {}, body);
    const wrap = vault.recipient("app", options).wrap(Uint8Array.from(SECRET));
    await expectCode(wrap, "KEY_SERVER_ANSWER_INVALID");
  });
});

it.each([
  [{ address: "vault.example" }],
  [{ address: "ftp://vault.example" }],
  [{ address: "http://vault.example" }],
  [{ address: "https://user:pass@vault.example" }],
  [{ address: "https://vault.example", mount: "../sys" }],
  [{ address: "https://vault.example", namespace: "a/../b" }],
  [{ address: "https://vault.example", auth: { method: "token", token: "a\nb" } }],
] as const)("the options %j are refused", async (options) => {
  const all = { auth: { method: "token", token: "x" }, ...options } as const;
  await expectCode(() => vault.key(all), "KEY_SERVER_CONFIG_INVALID");
});

it.each(["", "a/b", "..", "a b", "-a"])("the key name %j is refused", async (name) => {
  const options = {
    address: "https://vault.example",
    auth: { method: "token", token: "x" },
  } as const;
  await expectCode(() => vault.recipient(name, options), "KEY_SERVER_CONFIG_INVALID");
});
