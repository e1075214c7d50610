import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { vault, type VaultAuth } from "../../src/keyserver/vault/index.js";
import { describe as describeWrapped } from "../../src/keyserver/vault/wrapped.js";
import { expectCode } from "./codes.js";

/** A Vault, or its double. */
export interface VaultUnderTest {
  address: string;
  rootToken: string;
}

/** Sends a request as the administrator, without the library. */
export async function administer(
  { address, rootToken }: VaultUnderTest,
  method: string,
  path: string,
  body?: object,
): Promise<{ data?: Record<string, string>; auth?: { client_token: string } }> {
  const answer = await fetch(`${address}/v1/${path}`, {
    method,
    headers: { "x-vault-token": rootToken },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  expect(answer.ok, `${path}: ${text}`).toBe(true);
  return (text === "" ? {} : JSON.parse(text)) as { data?: Record<string, string> };
}

const SECRET = randomBytes(240);
const COPY = (): Uint8Array => Uint8Array.from(SECRET);

/** Tests that Vault and its double must both pass. */
export function vaultSuite(start: () => Promise<VaultUnderTest>): void {
  const root = ({ rootToken }: VaultUnderTest): VaultAuth => ({
    method: "token",
    token: rootToken,
  });
  const recipientOf = (server: VaultUnderTest, name = "app", auth = root(server)): Recipient =>
    vault.recipient(name, { address: server.address, auth });
  const keyOf = (server: VaultUnderTest, auth = root(server), keys?: string[]): Key =>
    vault.key({ address: server.address, auth, keys });

  async function withKey(): Promise<VaultUnderTest> {
    const server = await start();
    await administer(server, "POST", "transit/keys/app", {});
    const rules = ["encrypt", "decrypt", "rewrap"]
      .map((each) => `path "transit/${each}/app" { capabilities = ["update"] }`)
      .join("\n");
    await administer(server, "POST", "sys/policies/acl/user", { policy: rules });
    return server;
  }

  it("wraps, opens, and describes without the server", async () => {
    const server = await withKey();
    const wrapped = await recipientOf(server).wrap(COPY());
    expect(Buffer.from(wrapped).includes(SECRET)).toBe(false);
    expect(Buffer.from((await keyOf(server).unwrap(wrapped))!)).toEqual(SECRET);
    expect(describeWrapped(wrapped)).toEqual([
      { algorithm: "transit-v1", keyId: "transit/app", server: server.address },
    ]);
  });

  it("wraps with the latest version, and rewraps to it", async () => {
    const server = await withKey();
    const old = await recipientOf(server).wrap(COPY());
    const options = { address: server.address, auth: root(server) };
    expect(await vault.rewrap(old, options)).toBeUndefined();
    const states = async (): Promise<unknown> => keyOf(server).check!(old);
    const report = { server: server.address, keyId: "transit/app" };
    expect(await states()).toEqual([{ ...report, state: "current" }]);
    await administer(server, "POST", "transit/keys/app/rotate");
    expect(await states()).toEqual([{ ...report, state: "old" }]);
    const renewed = (await vault.rewrap(old, options))!;
    const made = await recipientOf(server).wrap(COPY());
    for (const wrapped of [renewed, made]) {
      expect(describeWrapped(wrapped)[0]!.algorithm).toBe("transit-v2");
    }
    await administer(server, "POST", "transit/keys/app/config", { min_decryption_version: 2 });
    await expectCode(keyOf(server).unwrap(old), "KEY_SERVER_KEY_DISABLED");
    for (const wrapped of [renewed, made]) {
      expect(Buffer.from((await keyOf(server).unwrap(wrapped))!)).toEqual(SECRET);
    }
  });

  it("tells a deleted key from a wrong token, and from a missing permission", async () => {
    const server = await withKey();
    const wrapped = await recipientOf(server).wrap(COPY());
    const { auth } = await administer(server, "POST", "auth/token/create", { policies: ["user"] });
    const user: VaultAuth = { method: "token", token: auth!.client_token };
    expect(Buffer.from((await keyOf(server, user).unwrap(wrapped))!)).toEqual(SECRET);
    // A policy without "create" keeps Vault from making a key of a misspelt name.
    await expectCode(recipientOf(server, "ap", user).wrap(COPY()), "KEY_SERVER_UNAUTHORIZED");
    await administer(server, "POST", "auth/token/revoke", { token: user.token });
    await expectCode(keyOf(server, user).unwrap(wrapped), "KEY_SERVER_UNAUTHORIZED");
    expect(await keyOf(server, user).check!(wrapped)).toMatchObject([{ state: "unknown" }]);
    await administer(server, "POST", "transit/keys/app/config", { deletion_allowed: true });
    await administer(server, "DELETE", "transit/keys/app");
    expect(await keyOf(server).check!(wrapped)).toMatchObject([{ state: "gone" }]);
    await expectCode(keyOf(server).unwrap(wrapped), "KEY_SERVER_KEY_NOT_FOUND");
    await administer(server, "POST", "transit/keys/app", {});
    await expectCode(keyOf(server).unwrap(wrapped), "WRAPPED_KEY_INVALID");
  });

  it("says which key a wrapped key is for", async () => {
    const server = await withKey();
    const wrapped = await recipientOf(server).wrap(COPY());
    const other = keyOf(server, root(server), ["web"]);
    expect(await other.unwrap(wrapped)).toBeNull();
    expect(await other.check!(wrapped)).toEqual([]);
    expect(other.explain!(wrapped)).toBe("it is for the key transit/app of Vault, not transit/web");
  });

  it("logs in with AppRole once, and again when its token was revoked", async () => {
    const server = await withKey();
    await administer(server, "POST", "sys/auth/approle", { type: "approle" });
    const role = { token_policies: ["user"], token_ttl: 600 };
    await administer(server, "POST", "auth/approle/role/app", role);
    const at = "auth/approle/role/app";
    const roleId = (await administer(server, "GET", `${at}/role-id`)).data!.role_id!;
    const secretId = (await administer(server, "POST", `${at}/secret-id`)).data!.secret_id!;
    const auth: VaultAuth = { method: "approle", roleId, secretId };
    const sent: string[] = [];
    const options = { address: server.address, auth, fetch: recording(sent) };
    const wrapped = await vault.recipient("app", { ...options }).wrap(COPY());
    const key = vault.key(options);
    sent.length = 0;
    for (let i = 0; i < 2; i++) expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
    const { token } = tokenIn(sent);
    expect(pathsOf(sent)).toEqual(["auth/approle/login", "transit/decrypt/app", "transit/decrypt/app"]); // prettier-ignore
    await administer(server, "POST", "auth/token/revoke", { token });
    sent.length = 0;
    expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
    expect(pathsOf(sent)).toEqual(["transit/decrypt/app", "auth/approle/login", "transit/decrypt/app"]); // prettier-ignore
    const wrong = {
      ...options,
      auth: { ...auth, secretId: "00000000-0000-0000-0000-000000000000" },
    };
    const error = await expectCode(vault.key(wrong).unwrap(wrapped), "KEY_SERVER_UNAUTHORIZED");
    expect(error.message).not.toContain(roleId);
  });
}

/** A `fetch` that notes the path and the token of each request. */
function recording(sent: string[]): NonNullable<Parameters<typeof vault.key>[0]["fetch"]> {
  return (url, init) => {
    sent.push(`${new URL(url).pathname} ${init.headers["x-vault-token"] ?? ""}`);
    return fetch(url, init);
  };
}

const pathsOf = (sent: readonly string[]): string[] =>
  sent.map((each) => each.split(" ")[0]!.replace("/v1/", ""));

const tokenIn = (sent: readonly string[]): { token: string } => ({
  token: sent.find((each) => each.includes("decrypt"))!.split(" ")[1]!,
});
