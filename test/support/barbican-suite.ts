import { execFileSync } from "node:child_process";
import { createDecipheriv, randomBytes } from "node:crypto";
import { beforeAll, expect, it } from "vitest";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { barbican, type BarbicanAuth, type BarbicanOptions } from "../../src/keyserver/barbican/index.js"; // prettier-ignore
import { describe as describeWrapped } from "../../src/keyserver/barbican/wrapped.js";
import { expectCode } from "./codes.js";

/**
 * A Barbican with its Keystone, or the double of both. The users alice (creator) and olga (observer)
 * have roles in the project app, and stan is admin of the project other.
 */
export interface BarbicanUnderTest {
  authUrl: string;
  endpoint: string;
  /** Of each user. */
  password: string;
  /** An application credential of alice. */
  credential: { id: string; secret: string };
  /** The id of the project app. */
  projectId: string;
}

export type User = "alice" | "olga" | "stan";

const SECRET = randomBytes(240);
const COPY = (): Uint8Array => Uint8Array.from(SECRET);

/** The login of a user with the password. */
export function loginOf({ password }: BarbicanUnderTest, name: User): BarbicanAuth {
  const project = { name: name === "stan" ? "other" : "app" };
  return { method: "password", user: { name }, password, scope: { project } };
}

/** The environment in which the clients of OpenStack find a user. */
export function environmentOf(
  { authUrl, password }: BarbicanUnderTest,
  name: User,
): Record<string, string> {
  return {
    ...{ OS_AUTH_URL: `${authUrl}/v3`, OS_USERNAME: name, OS_PASSWORD: password },
    OS_PROJECT_NAME: name === "stan" ? "other" : "app",
    ...{ OS_USER_DOMAIN_NAME: "Default", OS_PROJECT_DOMAIN_NAME: "Default" },
  };
}

/** The id of the secret of a wrapped key. */
export function secretOf(wrapped: Uint8Array): string {
  return describeWrapped(wrapped)[0]!.keyId!;
}

/** Returns a token of a user, without the library. */
export async function tokenOf(server: BarbicanUnderTest, name: User): Promise<string> {
  return (await login(server, name)).headers.get("x-subject-token")!;
}

async function userIdOf(server: BarbicanUnderTest, name: User): Promise<string> {
  const { token } = (await (await login(server, name)).json()) as {
    token: { user: { id: string } };
  };
  return token.user.id;
}

async function login(server: BarbicanUnderTest, name: User): Promise<Response> {
  const { password } = server;
  const domain = { id: "default" };
  const auth = {
    identity: { methods: ["password"], password: { user: { name, domain, password } } },
    scope: { project: { name: name === "stan" ? "other" : "app", domain } },
  };
  const answer = await fetch(`${server.authUrl}/v3/auth/tokens`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ auth }),
  });
  expect(answer.status).toBe(201);
  return answer;
}

/** Stores a secret as alice, without the library, and returns its id. */
export async function storeSecret(
  server: BarbicanUnderTest,
  payload: Uint8Array,
  facts: object,
): Promise<string> {
  const answer = await fetch(`${server.endpoint}/v1/secrets`, {
    method: "POST",
    headers: {
      "x-auth-token": await tokenOf(server, "alice"),
      "content-type": "application/json",
    },
    body: JSON.stringify({
      ...facts,
      payload: Buffer.from(payload).toString("base64"),
      payload_content_type: "application/octet-stream",
      payload_content_encoding: "base64",
    }),
  });
  expect(answer.status).toBe(201);
  const { secret_ref } = (await answer.json()) as { secret_ref: string };
  return secret_ref.split("/").at(-1)!;
}

/** Deletes a secret as alice, without the library. */
export async function deleteSecret(server: BarbicanUnderTest, id: string): Promise<void> {
  const headers = { "x-auth-token": await tokenOf(server, "alice") };
  const url = `${server.endpoint}/v1/secrets/${id}`;
  expect((await fetch(url, { method: "DELETE", headers })).status).toBe(204);
}

/** Tests that Barbican and its double must both pass. */
export function barbicanSuite(start: () => BarbicanUnderTest | Promise<BarbicanUnderTest>): void {
  let server: BarbicanUnderTest;
  beforeAll(async () => {
    server = await start();
  });

  const optionsOf = (name: User, more: Partial<BarbicanOptions> = {}): BarbicanOptions => ({
    authUrl: server.authUrl,
    auth: loginOf(server, name),
    ...more,
  });
  const recipientOf = (name: User): Recipient => barbican.recipient(optionsOf(name));
  const keyOf = (name: User): Key => barbican.key(optionsOf(name));

  it("stores and opens a secret, and describes it without the server", async () => {
    const wrapped = await recipientOf("alice").wrap(COPY());
    expect(Buffer.from(wrapped).includes(SECRET)).toBe(false);
    expect(Buffer.from((await keyOf("alice").unwrap(wrapped))!)).toEqual(SECRET);
    expect(describeWrapped(wrapped)).toEqual([
      { algorithm: "stored-secret", keyId: secretOf(wrapped), server: server.endpoint },
    ]);
    const headers = { "x-auth-token": await tokenOf(server, "alice") };
    const url = `${server.endpoint}/v1/secrets/${secretOf(wrapped)}`;
    expect(await (await fetch(url, { headers })).json()).toMatchObject({
      ...{ status: "ACTIVE", name: "ocicrypt", secret_type: "symmetric", bit_length: 256 },
      content_types: { default: "application/octet-stream" },
    });
    const payload = await fetch(`${url}/payload`, {
      headers: { ...headers, accept: "application/octet-stream" },
    });
    expect((await payload.arrayBuffer()).byteLength).toBe(32);
  });

  it("does not open a layer whose secret was deleted", async () => {
    const wrapped = await recipientOf("alice").wrap(COPY());
    const report = { server: server.endpoint, keyId: secretOf(wrapped) };
    expect(await keyOf("olga").check!(wrapped)).toEqual([{ ...report, state: "current" }]);
    await deleteSecret(server, secretOf(wrapped));
    const error = await expectCode(keyOf("alice").unwrap(wrapped), "KEY_SERVER_KEY_NOT_FOUND");
    expect(error.message).toContain("the secret was deleted or has expired");
    expect(await keyOf("olga").check!(wrapped)).toEqual([{ ...report, state: "gone" }]);
  });

  it("lets an observer decrypt but not encrypt, and another project do neither", async () => {
    const wrapped = await recipientOf("alice").wrap(COPY());
    expect(Buffer.from((await keyOf("olga").unwrap(wrapped))!)).toEqual(SECRET);
    await expectCode(recipientOf("olga").wrap(COPY()), "KEY_SERVER_UNAUTHORIZED");
    const error = await expectCode(keyOf("stan").unwrap(wrapped), "KEY_SERVER_UNAUTHORIZED");
    expect(error.message).toContain("the project, the roles or the ACL do not allow it");
  });

  it("lets an ACL take a secret from the project, and give it to a user", async () => {
    const wrapped = await recipientOf("alice").wrap(COPY());
    const setReaders = async (...users: string[]): Promise<void> => {
      const answer = await fetch(`${server.endpoint}/v1/secrets/${secretOf(wrapped)}/acl`, {
        method: "PUT",
        headers: {
          "x-auth-token": await tokenOf(server, "alice"),
          "content-type": "application/json",
        },
        body: JSON.stringify({ read: { users, "project-access": false } }),
      });
      expect(answer.status).toBe(200);
    };
    await setReaders();
    const error = await expectCode(keyOf("olga").unwrap(wrapped), "KEY_SERVER_UNAUTHORIZED");
    expect(error.message).toContain("the project, the roles or the ACL do not allow it");
    await setReaders(await userIdOf(server, "stan"));
    expect(Buffer.from((await keyOf("stan").unwrap(wrapped))!)).toEqual(SECRET);
    await expectCode(keyOf("olga").unwrap(wrapped), "KEY_SERVER_UNAUTHORIZED");
  });

  it("accepts application credentials and tokens, and rejects wrong ones", async () => {
    const { credential, authUrl } = server;
    const wrapped = await recipientOf("alice").wrap(COPY());
    const withSecret = (secret: string): BarbicanAuth => ({
      method: "application-credential",
      credential: { id: credential.id },
      secret,
    });
    const byName: BarbicanAuth = {
      method: "application-credential",
      credential: { name: "ci", user: { name: "alice", domain: { name: "Default" } } },
      secret: credential.secret,
    };
    const token = await tokenOf(server, "olga");
    const ofToken = { method: "token", token } as const;
    const scoped = { ...ofToken, scope: { project: { id: server.projectId } } };
    for (const auth of [withSecret(credential.secret), byName, scoped]) {
      expect(Buffer.from((await barbican.key({ authUrl, auth }).unwrap(wrapped))!)).toEqual(SECRET);
    }
    const wrong: BarbicanAuth[] = [
      withSecret("wrong-secret"),
      { ...loginOf(server, "alice"), password: "wrong-secret" } as BarbicanAuth,
      { ...scoped, token: "wrong-secret" },
      { ...ofToken, scope: { project: { name: "other" } } },
    ];
    for (const auth of wrong) {
      const opening = barbican.key({ authUrl, auth }).unwrap(wrapped);
      const error = await expectCode(opening, "KEY_SERVER_UNAUTHORIZED");
      expect(error.message).toContain("Keystone does not accept the login");
      expect(error.message).not.toContain("wrong-secret");
    }
  });

  it("logs in once, and again when its token was revoked", async () => {
    const wrapped = await recipientOf("alice").wrap(COPY());
    const sent: { path: string; token: string }[] = [];
    const key = barbican.key(
      optionsOf("alice", {
        fetch(url, init) {
          const path = new URL(url).pathname.replace(/^.*\/v1\/secrets\/.*$/, "secret");
          sent.push({ path, token: init.headers["x-auth-token"] ?? "" });
          return fetch(url, init);
        },
      }),
    );
    const paths = (): string[] => sent.splice(0).map(({ path }) => path);
    for (let i = 0; i < 2; i++) expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
    const { token } = sent.at(-1)!;
    expect(paths()).toEqual(["/v3/auth/tokens", "secret", "secret"]);
    const headers = { "x-auth-token": token, "x-subject-token": token };
    await fetch(`${server.authUrl}/v3/auth/tokens`, { method: "DELETE", headers });
    expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
    expect(paths()).toEqual(["secret", "/v3/auth/tokens", "secret"]);
  });

  it("wraps with a key that Barbican made, so that OpenSSL can unwrap", async () => {
    const id = await barbican.createKek(optionsOf("alice"));
    const wrapped = await barbican.kekRecipient(id, optionsOf("olga")).wrap(COPY());
    expect(describeWrapped(wrapped)).toEqual([
      { algorithm: "A256KW", keyId: id, server: server.endpoint },
    ]);
    expect(Buffer.from((await keyOf("olga").unwrap(wrapped))!)).toEqual(SECRET);
    const kek = await fetch(`${server.endpoint}/v1/secrets/${id}/payload`, {
      headers: {
        "x-auth-token": await tokenOf(server, "olga"),
        accept: "application/octet-stream",
      },
    });
    const envelope = JSON.parse(Buffer.from(wrapped).toString()) as Record<string, string>;
    const args = ["enc", "-d", "-id-aes256-wrap", "-iv", "a6".repeat(8), "-K"];
    const hex = Buffer.from(await kek.arrayBuffer()).toString("hex");
    const input = Buffer.from(envelope.wrapped!, "base64");
    const dataKey = execFileSync("openssl", [...args, hex], { input });
    const sealed = Buffer.from(envelope.sealed!, "base64");
    const decipher = createDecipheriv("aes-256-gcm", dataKey, sealed.subarray(0, 12));
    decipher.setAAD(Buffer.from("provider.barbican")).setAuthTag(sealed.subarray(-16));
    expect(Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])).toEqual(SECRET); // prettier-ignore
    const foreign = barbican.kekRecipient(id, optionsOf("stan"));
    await expectCode(foreign.wrap(COPY()), "KEY_SERVER_UNAUTHORIZED");
    await expectCode(keyOf("stan").unwrap(wrapped), "KEY_SERVER_UNAUTHORIZED");
    await deleteSecret(server, id);
    await expectCode(keyOf("olga").unwrap(wrapped), "KEY_SERVER_KEY_NOT_FOUND");
    await expectCode(barbican.createKek(optionsOf("olga")), "KEY_SERVER_UNAUTHORIZED");
  });

  it("returns the content of a private key, but not of a symmetric key", async () => {
    const content = Buffer.from("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    const id = await storeSecret(server, content, { secret_type: "private", algorithm: "rsa" });
    expect(Buffer.from((await barbican.keyFile(id, optionsOf("olga")))!)).toEqual(content);
    await expectCode(barbican.keyFile(id, optionsOf("stan")), "KEY_SERVER_UNAUTHORIZED");
    const kek = await storeSecret(server, randomBytes(32), { secret_type: "symmetric" });
    expect(await barbican.keyFile(kek, optionsOf("olga"))).toBeUndefined();
  });

  it("says when the catalogue has no Barbican", async () => {
    for (const more of [{ region: "RegionTwo" }, { interface: "admin" }] as const) {
      const opening = barbican.recipient(optionsOf("alice", more)).wrap(COPY());
      const error = await expectCode(opening, "KEY_SERVER_CONFIG_INVALID");
      expect(error.message).toContain("endpoint for key-manager");
    }
  });
}
