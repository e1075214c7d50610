import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { keyServerKeys, keyServerRecipients } from "../../../src/keyserver/index.js";
import { recipientsFromText } from "../../../src/keywrap/key-files/index.js";
import type { JsonObject } from "../../../src/text/json.js";
import { type BarbicanDouble, barbicanDouble } from "../../support/barbican-double.js";
import { environmentOf, secretOf, storeSecret, tokenOf } from "../../support/barbican-suite.js";
import { expectCode } from "../../support/codes.js";

const SECRET = Buffer.alloc(200, "s");
const folder = mkdtempSync(join(tmpdir(), "ocicrypt-barbican-"));
const at = (name: string): string => join(folder, name);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let server: BarbicanDouble;
beforeEach(async () => {
  for (const name of Object.keys(process.env).filter((each) => /^(?:OS|BARBICAN)_/.test(each))) {
    vi.stubEnv(name, "");
  }
  server = await barbicanDouble();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const contextOf = (barbican?: JsonObject): Parameters<typeof keyServerKeys>[1] => ({
  settings: barbican === undefined ? {} : { barbican },
  readFile: () => Buffer.alloc(0),
});

const wrap = async (barbican?: JsonObject, text = "barbican:"): Promise<Uint8Array> => {
  const {
    found: [recipient],
  } = await keyServerRecipients(text, contextOf(barbican));
  return recipient!.wrap(Uint8Array.from(SECRET));
};

const open = async (
  wrapped: Uint8Array,
  barbican?: JsonObject,
  ...texts: string[]
): Promise<string | null> => {
  const {
    found: [key],
  } = await keyServerKeys(texts.length > 0 ? texts : ["barbican"], contextOf(barbican));
  const opened = await key!.unwrap(wrapped);
  return opened && Buffer.from(opened).toString();
};

function stub(variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
}

describe("the settings of Barbican", () => {
  it("come from the variables of OpenStack's own clients", async () => {
    stub(environmentOf(server, "alice"));
    const wrapped = await wrap();
    expect(await open(wrapped)).toBe(SECRET.toString());
    const variables: Record<string, string>[] = [
      { OS_AUTH_TYPE: "v3password", OS_INTERFACE: "publicURL", OS_REGION_NAME: "RegionOne" },
      { OS_PROJECT_ID: server.projectId },
      { OS_AUTH_TYPE: "v3token", OS_TOKEN: await tokenOf(server, "olga") },
      {
        OS_AUTH_TYPE: "v3applicationcredential",
        OS_APPLICATION_CREDENTIAL_ID: server.credential.id,
        OS_APPLICATION_CREDENTIAL_SECRET: server.credential.secret,
      },
      { OS_APPLICATION_CREDENTIAL_ID: "", OS_APPLICATION_CREDENTIAL_NAME: "ci" },
    ];
    for (const more of variables) {
      stub(more);
      expect(await open(wrapped), JSON.stringify(more)).toBe(SECRET.toString());
    }
  });

  it("come from the settings file before the environment", async () => {
    stub({ ...environmentOf(server, "alice"), OS_PASSWORD: "other", OS_AUTH_URL: "https://o.example" }); // prettier-ignore
    writeFileSync(at("password"), `${server.password}\n`);
    const settings = { "auth-url": server.url, "password-file": at("password"), name: "layers" };
    const wrapped = await wrap(settings);
    expect(await open(wrapped, settings)).toBe(SECRET.toString());
    const stored = server.requests.find(({ target }) => target === "/v1/secrets")!;
    expect(JSON.parse(stored.body.toString())).toMatchObject({ name: "layers" });
  });

  it("send ids and domains to Keystone", async () => {
    stub({ ...environmentOf(server, "alice"), OS_USER_ID: "u1", OS_PROJECT_NAME: "" });
    const scopes: [Record<string, string>, object][] = [
      [{ OS_DOMAIN_NAME: "D" }, { domain: { name: "D" } }],
      [{ OS_DOMAIN_ID: "d1" }, { domain: { id: "d1" } }],
      [{ OS_PROJECT_NAME: "p", OS_PROJECT_DOMAIN_NAME: "", OS_DEFAULT_DOMAIN: "x" }, { project: { name: "p", domain: { id: "x" } } }],
      [{ OS_PROJECT_DOMAIN_ID: "d2" }, { project: { name: "p", domain: { id: "d2" } } }],
      [{ OS_PROJECT_ID: "p1" }, { project: { id: "p1" } }],
    ]; // prettier-ignore
    for (const [variables, scope] of scopes) {
      stub(variables);
      server.requests.length = 0;
      await expectCode(wrap(), "KEY_SERVER_UNAUTHORIZED");
      const { auth } = JSON.parse(server.requests[0]!.body.toString()) as { auth: JsonObject };
      expect(auth).toEqual({
        identity: { methods: ["password"], password: { user: { id: "u1", password: server.password } } }, // prettier-ignore
        scope,
      });
    }
  });
});

describe("an argument", () => {
  it("names the endpoint, or a secret", async () => {
    stub({ ...environmentOf(server, "alice"), BARBICAN_ENDPOINT: "https://other.example" });
    const wrapped = await wrap(undefined, `barbican:${server.url}`);
    const id = secretOf(wrapped);
    const {
      found: [kek],
    } = await keyServerRecipients(`barbican:${server.url}/v1/secrets/${id}`, contextOf());
    const withKek = await kek!.wrap(Uint8Array.from(SECRET));
    expect(await open(withKek, undefined, `barbican:${server.url}`)).toBe(SECRET.toString());
    const opening: string[][] = [
      [`barbican:${server.url}`],
      [`barbican:${server.url}/v1/secrets/${id}`],
      [`barbican:${server.url}`, `barbican:${id}`],
      [`barbican:${server.url}/`],
    ];
    for (const texts of opening) {
      expect(await open(wrapped, undefined, ...texts), texts.join()).toBe(SECRET.toString());
    }
    const other = "00000000-0000-0000-0000-000000000000";
    const missing = `barbican:${server.url}/v1/secrets/${other}`;
    await expectCode(keyServerKeys([missing], contextOf()), "KEY_SERVER_KEY_NOT_FOUND");
    const second = secretOf(await wrap(undefined, `barbican:${server.url}`));
    expect(
      await open(wrapped, undefined, `barbican:${server.url}/v1/secrets/${second}`),
    ).toBeNull();
    vi.stubEnv("BARBICAN_ENDPOINT", `${server.url}/v1`);
    expect(await open(wrapped, undefined, `barbican:${id}`)).toBe(SECRET.toString());
  });

  it("names a private key that Barbican keeps, with one login for all arguments", async () => {
    stub(environmentOf(server, "alice"));
    const id = await storeSecret(server, Buffer.from("PEM"), { secret_type: "private" });
    const certificate = await storeSecret(server, Buffer.from("CERT"), { secret_type: "certificate" }); // prettier-ignore
    const kek = await storeSecret(server, Buffer.alloc(32), { secret_type: "symmetric" });
    const wrapped = await wrap(undefined, `barbican:${kek}`);
    server.requests.length = 0;
    const texts = [`barbican:${id}`, `barbican:${certificate}`, `barbican:${kek}`];
    const { files, found } = await keyServerKeys(texts, contextOf());
    expect(files).toEqual([
      { label: `barbican:${id}`, content: Buffer.from("PEM") },
      { label: `barbican:${certificate}`, content: Buffer.from("CERT") },
    ]);
    expect(found).toHaveLength(1);
    expect(Buffer.from((await found[0]!.unwrap(wrapped))!)).toEqual(SECRET);
    expect(server.log().filter((line) => line.includes("/auth/tokens"))).toHaveLength(1);
    expect((await keyServerKeys([`barbican:${id}`], contextOf())).found).toEqual([]);
  });

  it.each(["public", "certificate"])("names a %s key that Barbican keeps as a recipient", async (type) => {
    stub(environmentOf(server, "alice"));
    const content = readFileSync(new globalThis.URL(`../../../vectors/${type === "public" ? "keys/rsa-3072.pub.pem" : "peers/keys/cert-rsa3072.pem"}`, import.meta.url));
    const id = await storeSecret(server, content, { secret_type: type });
    const recipients = await recipientsFromText(`barbican:${id}`);
    expect(recipients.map(({ scheme }) => scheme)).toEqual(["jwe"]);
  }); // prettier-ignore

  it("of another program names only the configured endpoint", async () => {
    stub(environmentOf(server, "alice"));
    const other = await barbicanDouble();
    const id = "00000000-0000-0000-0000-000000000000";
    for (const named of [other.url, `${other.url}/v1/secrets/${id}`]) {
      const context = { ...contextOf(), allowedServers: ["", server.url] };
      await expectCode(keyServerRecipients(`barbican:${named}`, context), "KEY_SERVER_NOT_ALLOWED");
    }
    expect([...server.requests, ...other.requests]).toEqual([]);
    for (const allowedServers of [[`${server.url}/`], []]) {
      vi.stubEnv("BARBICAN_ENDPOINT", allowedServers.length > 0 ? "" : `${server.url}/v1`);
      const context = { ...contextOf(), allowedServers };
      const { found } = await keyServerRecipients(`barbican:${server.url}`, context);
      expect(await open(await found[0]!.wrap(Uint8Array.from(SECRET)))).toBe(SECRET.toString());
    }
  });

  it("cannot name a second endpoint", async () => {
    stub(environmentOf(server, "alice"));
    const texts = ["barbican:https://a.example", "barbican:https://b.example"];
    const { message } = await expectCode(
      keyServerKeys(texts, contextOf()),
      "KEY_SERVER_CONFIG_INVALID",
    );
    expect(message).toContain("different Barbican servers");
  });
});

const URL = { "auth-url": "https://keystone.example" };
it.each([
  [{}, "username or OS_USERNAME is missing"],
  [{ "auth-type": "v3kerberos" }, "auth-type of Barbican is not"],
  [{ "auth-type": "token" }, "token-file or OS_TOKEN is missing"],
  [{ "auth-type": "none" }, "project-id or OS_PROJECT_ID is missing"],
  [{ "auth-type": "none", "project-id": "p" }, "the endpoint of Barbican is missing"],
  [{ "auth-type": "v3applicationcredential" }, "application-credential-id or OS_"],
  [{ ...URL, username: "u" }, "password-file or OS_PASSWORD is missing"],
  [{ ...URL, username: "u", "password-file": "/none" }, "of Barbican cannot be read"],
  [{ username: "u", "password-file": "/dev/null" }, "the URL of Keystone is missing"],
  [{ ...URL, password: "x" }, 'unknown member "password"'],
  [{ ...URL, interface: "private", "auth-type": "none", "project-id": "p" }, "interface of Barbican is not"],
  [{ ...URL, "plain-http": 1, "auth-type": "none", "project-id": "p" }, "plain-http is neither"],
])("the settings %j are refused", async (settings, why) => {
  const { message } = await expectCode(
    keyServerKeys(["barbican"], contextOf(settings)),
    "KEY_SERVER_CONFIG_INVALID",
  );
  expect(message).toContain(why);
}); // prettier-ignore
