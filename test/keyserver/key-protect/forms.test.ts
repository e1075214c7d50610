import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { keyServerKeys, keyServerRecipients } from "../../../src/keyserver/index.js";
import { keyProtect } from "../../../src/keyserver/key-protect/index.js";
import type { JsonObject } from "../../../src/text/json.js";
import { expectCode } from "../../support/codes.js";
import { type KeyProtectDouble, keyProtectDouble } from "../../support/key-protect-double.js";
import { keyProtectEnvironment } from "../../support/key-server-doubles.js";

const SECRET = Buffer.alloc(200, "s");
const folder = mkdtempSync(join(tmpdir(), "ocicrypt-key-protect-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const VARIABLES = ["KP_TARGET_ADDR", "KP_INSTANCE_ID", "IBMCLOUD_API_KEY", "IBMCLOUD_REGION", "IBMCLOUD_IAM_API_ENDPOINT"]; // prettier-ignore
let server: KeyProtectDouble;
beforeEach(async () => {
  for (const name of VARIABLES) vi.stubEnv(name, "");
  server = await keyProtectDouble();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const contextOf = (
  own?: JsonObject,
  warnings: string[] = [],
): Parameters<typeof keyServerKeys>[1] => ({
  settings: own === undefined ? {} : { "key-protect": own },
  readFile: () => Buffer.alloc(0),
  onWarning: (warning) => warnings.push(warning),
});

function useEnvironment(): void {
  for (const [name, value] of Object.entries(keyProtectEnvironment(server))) {
    vi.stubEnv(name, value);
  }
}

async function wrap(text: string, own?: JsonObject): Promise<Uint8Array> {
  const {
    found: [recipient],
  } = await keyServerRecipients(text, contextOf(own));
  return recipient!.wrap(Uint8Array.from(SECRET));
}

async function open(wrapped: Uint8Array, texts: string[], own?: JsonObject, warnings?: string[]): Promise<string | undefined> {
  const { found: [key] } = await keyServerKeys(texts, contextOf(own, warnings));
  const secret = await key!.unwrap(wrapped);
  return secret === null ? undefined : Buffer.from(secret).toString();
} // prettier-ignore

const crn = (id: string, instance = server.instance, region = "us-south"): string =>
  `key-protect:crn:v1:bluemix:public:kms:${region}:a/0123456789abcdef:${instance}:key:${id}`;

describe("the settings of Key Protect", () => {
  it("come from the variables of IBM's tools, or from a CRN", async () => {
    useEnvironment();
    const id = server.makeKey({ alias: "app-key" });
    const wrapped = await wrap("key-protect:app-key");
    expect(await open(wrapped, ["key-protect"])).toBe(SECRET.toString());
    expect(await open(wrapped, ["key-protect:app-key"])).toBe(SECRET.toString());
    server.makeKey({ alias: "other" });
    expect(await open(wrapped, ["key-protect:other"])).toBeUndefined();
    await expectCode(open(wrapped, ["key-protect:none"]), "KEY_SERVER_KEY_NOT_FOUND");
    vi.stubEnv("KP_INSTANCE_ID", "");
    expect(await open(await wrap(crn(id)), [crn(id)])).toBe(SECRET.toString());
  });

  it("come from the settings file", async () => {
    const file = join(folder, "api-key");
    writeFileSync(file, `${server.apiKey}\n`);
    const id = server.makeKey({ keyRing: "apps" });
    const own = { url: server.url, instance: server.instance, "api-key-file": file, "iam-url": server.iam.url, "key-ring": "apps", aad: ["team-a"] }; // prettier-ignore
    const wrapped = await wrap(`key-protect:${id}`, own);
    expect(JSON.parse(Buffer.from(wrapped).toString())).toMatchObject({ aad: ["team-a"] });
    expect(await open(wrapped, ["key-protect"], own)).toBe(SECRET.toString());
    expect(await open(wrapped, ["key-protect"], { ...own, aad: ["team-b"] })).toBeUndefined();
  });

  it("find a private key that is kept or wrapped there, with one login for all arguments", async () => {
    useEnvironment();
    const id = server.makeKey();
    const kept = server.keep(Buffer.from("KEPT"));
    const client = await keyProtect.recipient(id, { url: server.url, instance: server.instance, apiKey: server.apiKey, iamUrl: server.iam.url }).wrap(Buffer.from("x")); // prettier-ignore
    const { ciphertext } = JSON.parse(Buffer.from(client).toString()) as { ciphertext: string };
    const wrapped = await wrap(`key-protect:${id}`);
    server.iam.requests.length = 0;
    const readFile = (file: string): Uint8Array =>
      Buffer.from(file === "wrapped.json" ? JSON.stringify({ ciphertext }) : `${ciphertext}\n`);
    const context = { ...contextOf(), readFile };
    const texts = [`key-protect:${kept}`, `key-protect:${id}?wrapped=wrapped.json`, `key-protect:${id}?wrapped=w.txt`, `key-protect:${id}`]; // prettier-ignore
    const { files, found } = await keyServerKeys(texts, context);
    expect(files.map(({ label }) => label)).toEqual([`key-protect:${kept}`, ...[id, id].map((each) => `key-protect:${each}`)]); // prettier-ignore
    expect(files.map(({ content }) => content.byteLength)).toEqual([4, 32, 32]);
    expect(found).toHaveLength(1);
    expect(Buffer.from((await found[0]!.unwrap(wrapped))!)).toEqual(SECRET);
    expect(server.iam.requests).toHaveLength(1);
    const recipient = keyServerRecipients(`key-protect:${id}?wrapped=w.txt`, context);
    await expectCode(recipient, "KEY_SERVER_CONFIG_INVALID");
  });

  it("of a recipient that another program names come from the user", async () => {
    useEnvironment();
    const id = server.makeKey();
    const foreign = async (text: string, ...allowedServers: string[]): Promise<unknown> =>
      (await keyServerRecipients(text, { ...contextOf(), allowedServers })).found;
    expect(await foreign(`key-protect:${id}`)).toHaveLength(1);
    expect(await foreign(crn(id))).toHaveLength(1);
    const other = "00000000-0000-4000-8000-000000000000";
    await expectCode(foreign(crn(id, other)), "KEY_SERVER_CONFIG_INVALID");
    for (const name of ["KP_TARGET_ADDR", "KP_INSTANCE_ID"]) vi.stubEnv(name, "");
    await expectCode(foreign(crn(id)), "KEY_SERVER_CONFIG_INVALID");
    expect(await foreign(crn(id), crn(other).slice("key-protect:".length))).toHaveLength(1);
  });

  it("warn about a rotated key", async () => {
    useEnvironment();
    const id = server.makeKey();
    const wrapped = await wrap(`key-protect:${id}`);
    server.rotate(id);
    const warnings: string[] = [];
    expect(await open(wrapped, ["key-protect"], {}, warnings)).toBe(SECRET.toString());
    expect(warnings.join()).toContain("was rotated");
  });

  it.each([
    ["key-protect", {}, "needs the CRN of a key"],
    ["key-protect", { region: "us-south.evil.example/" }, "the region of Key Protect is not valid"],
    ["key-protect", { region: "us-south" }, "needs the CRN of a key"],
    [crn("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"), {}, "api-key-file or IBMCLOUD_API_KEY is missing"],
    [crn("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"), { instance: "x" }, "name different instances"],
    ["key-protect:crn:v1:bluemix:public:cos", {}, "the CRN is not that of a key"],
    ["key-protect", { apikey: "x" }, 'unknown member "apikey"'],
    ["key-protect", { aad: "x", url: "https://x.example", instance: "x" }, "api-key-file or"],
  ])("of %s with %j are refused", async (text, own, why) => {
    const error = await expectCode(keyServerKeys([text], contextOf(own)), "KEY_SERVER_CONFIG_INVALID");
    expect(error.message).toContain(why);
  }); // prettier-ignore
});
